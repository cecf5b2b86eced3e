//! What rules take of the heap: nothing where they are asked, little where they are written, whatever is written.
//!
//! Each thread counts its own: what the harness allocates beside a test is not the test's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use limen_core::routing::cel::{Expression, Variables};

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
    static NOW: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        NOW.set(NOW.get() + layout.size());
        MOST.set(MOST.get().max(NOW.get()));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // What another thread took may end here.
        NOW.set(NOW.get().saturating_sub(layout.size()));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static HEAP: Counting = Counting;

/// The most that was taken at one time meanwhile, and what is still taken.
fn taken<T>(work: impl FnOnce() -> T) -> (usize, usize, T) {
    let before = NOW.get();
    MOST.set(before);
    let found = work();
    (MOST.get() - before, NOW.get().saturating_sub(before), found)
}

#[test]
fn rules_allocate_nothing_where_they_are_asked_and_little_where_they_are_written() {
    let long = "aB".repeat(1_000);
    let request = Variables {
        model: "gpt-4o",
        headers: &[("a", &long), ("b", "x")],
        budget_used: 85.0,
        ..Variables::default()
    };
    for text in [
        "model == 'gpt-4o' && budget_used > 80",
        "model in ['a', 'gpt-4o'] ? size(headers) == 2 : false",
        "headers.a.matches('(a|B)*x') || headers.b.matches('(?i)^X$')",
        "headers.a.lowerAscii() + headers.b + 'é' != (model + '/' + headers.a)",
        "1 / 0 == 1 || headers.none == 'x' || headers.a.contains('aa')",
    ] {
        let expression = Expression::new(text).expect("valid");
        let first = expression.holds(&request);
        let before = CALLS.get();
        for _ in 0..100 {
            assert_eq!(expression.holds(&request), first);
        }
        assert_eq!(CALLS.get(), before, "{text}");
    }
    let many = |part: &str, by: &str| vec![part; 4_000 / (part.len() + by.len())].join(by);
    for text in [
        many("1", "+"),
        many("model == 'a'", "||"),
        many("[1].map(x, [1].map(y, x))", ","),
        format!("model in [{}]", many("'a'", ",")),
        format!("model.matches('{}')", many("(a*)*", "")),
        format!("model.matches('{}')", many("(?:a{1000}){1000}", "|")),
        format!("model.matches('{}')", many("[ab]*a[ab]{30}", "")),
        format!("model.matches('{}')", many("(?i)[^a]{9}", "")),
        many("model.matches('[a-z]{30}')", "||"),
        "(".repeat(4_000),
    ] {
        let (most, kept, expression) = taken(|| Expression::new(&text));
        assert!(most < 4 << 20, "{text:.60}: {most} bytes");
        assert!(kept < 256 << 10, "{text:.60}: {kept} bytes kept");
        drop(expression);
    }
    // Again and again, nothing is left behind.
    let (_, kept, ()) = taken(|| {
        for turn in 0..500 {
            drop(Expression::new(&format!(
                "model == '{turn}' && headers.x{turn}.matches('a{{{}}}') &&",
                turn % 90
            )));
            drop(Expression::new(&format!(
                "model == '{turn}' && headers.x{turn}.matches('a{{{}}}')",
                turn % 90
            )));
        }
    });
    assert_eq!(kept, 0);
}
