//! The only file that names atomics.
//!
//! Everything else asks for its words here, so that a model checker's words can stand in their place: under
//! `--cfg loom` and `--cfg shuttle` the same code runs on the checkers' types. Neither checker knows 128-bit
//! atomics; there [`Word`] is a stand-in, a 64-bit atomic of the checker that holds the *number* of the value in a
//! table of all values seen. Equal values have equal numbers, so a compare-exchange of numbers succeeds exactly
//! where one of values would, in one step and with the orderings that the real word has.
//!
//! On x86-64 and aarch64 a [`Word`] is one lock-free compare-exchange (and, with AVX told to the compiler, one load).
//! Where a processor has none, `portable-atomic` falls back to a small spin lock: still exact, no longer lock-free.

/// A size as it is, or the small one that a model checker can explore.
pub(crate) const fn sized(real: u32, checked: u32) -> u32 {
    if cfg!(any(loom, shuttle)) { checked } else { real }
}

#[cfg(not(any(loom, shuttle)))]
mod imp {
    pub(crate) use core::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
    pub(crate) use std::sync::Mutex;

    /// One 128-bit word that decides by compare-exchange.
    #[derive(Debug, Default)]
    pub(crate) struct Word(portable_atomic::AtomicU128);

    impl Word {
        pub(crate) const fn new(value: u128) -> Word {
            Word(portable_atomic::AtomicU128::new(value))
        }

        /// Acquire: what was written before the exchange that made this value is visible.
        #[inline(always)]
        pub(crate) fn load(&self) -> u128 {
            self.0.load(Ordering::Acquire)
        }

        /// Partner of every load and exchange of this word. SeqCst: see `mark`. Err carries the value found.
        #[inline(always)]
        pub(crate) fn cas(&self, old: u128, new: u128) -> Result<u128, u128> {
            self.0.compare_exchange(old, new, Ordering::SeqCst, Ordering::Acquire)
        }

        /// For a slot nobody else can reach yet, or any more.
        pub(crate) fn store(&self, value: u128) {
            self.0.store(value, Ordering::Release);
        }
    }

    /// A value that is exchanged whole.
    #[derive(Debug)]
    pub(crate) struct Swap<T>(arc_swap::ArcSwap<T>);

    impl<T> Swap<T> {
        pub(crate) fn new(value: std::sync::Arc<T>) -> Swap<T> {
            Swap(arc_swap::ArcSwap::new(value))
        }

        pub(crate) fn load(&self) -> std::sync::Arc<T> {
            self.0.load_full()
        }

        /// Readers that began after this returned see the new value; the old one lives until its last reader left.
        pub(crate) fn store(&self, value: std::sync::Arc<T>) {
            self.0.store(value);
        }
    }

    /// Nothing: steps that are SeqCst have one order by themselves.
    #[inline(always)]
    pub(crate) fn checked_fence() {}

    /// A small number of this thread, for spreading threads over stripes.
    #[inline]
    pub(crate) fn thread_number() -> usize {
        use core::sync::atomic::AtomicUsize;
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed));
        MINE.with(|mine| *mine)
    }

    /// Another thread is in the middle of a step on the same permit.
    pub(crate) fn wait_a_moment(tries: &mut u32) {
        *tries += 1;
        if *tries < 64 {
            core::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
    }
}

#[cfg(any(loom, shuttle))]
mod imp {
    #[cfg(loom)]
    use loom as checker;
    #[cfg(shuttle)]
    use shuttle as checker;

    pub(crate) use checker::sync::Mutex;
    pub(crate) use checker::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

    /// Every value that any word has had; its place is its number.
    static VALUES: std::sync::Mutex<Vec<u128>> = std::sync::Mutex::new(Vec::new());
    static NUMBERS: std::sync::Mutex<std::collections::BTreeMap<u128, u64>> =
        std::sync::Mutex::new(std::collections::BTreeMap::new());

    fn number_of(value: u128) -> u64 {
        let mut numbers = NUMBERS.lock().expect("no panic while held");
        *numbers.entry(value).or_insert_with(|| {
            let mut values = VALUES.lock().expect("no panic while held");
            values.push(value);
            values.len() as u64 - 1
        })
    }

    fn value_of(number: u64) -> u128 {
        VALUES.lock().expect("no panic while held")[number as usize]
    }

    #[derive(Debug)]
    pub(crate) struct Word(AtomicU64);

    impl Default for Word {
        fn default() -> Word {
            Word::new(0)
        }
    }

    impl Word {
        pub(crate) fn new(value: u128) -> Word {
            Word(AtomicU64::new(number_of(value)))
        }

        pub(crate) fn load(&self) -> u128 {
            value_of(self.0.load(Ordering::Acquire))
        }

        pub(crate) fn cas(&self, old: u128, new: u128) -> Result<u128, u128> {
            self.0
                .compare_exchange(number_of(old), number_of(new), Ordering::SeqCst, Ordering::Acquire)
                .map(value_of)
                .map_err(value_of)
        }

        pub(crate) fn store(&self, value: u128) {
            self.0.store(number_of(value), Ordering::Release);
        }
    }

    #[derive(Debug)]
    pub(crate) struct Swap<T>(Mutex<std::sync::Arc<T>>);

    impl<T> Swap<T> {
        pub(crate) fn new(value: std::sync::Arc<T>) -> Swap<T> {
            Swap(Mutex::new(value))
        }

        pub(crate) fn load(&self) -> std::sync::Arc<T> {
            self.0.lock().expect("no panic while held").clone()
        }

        pub(crate) fn store(&self, value: std::sync::Arc<T>) {
            let old = core::mem::replace(&mut *self.0.lock().expect("no panic while held"), value);
            drop(old);
        }
    }

    pub(crate) fn thread_number() -> usize {
        0
    }

    /// loom takes a SeqCst step for an AcqRel one: there the order between two words needs a fence on either side.
    pub(crate) fn checked_fence() {
        #[cfg(loom)]
        fence(Ordering::SeqCst);
    }

    pub(crate) fn wait_a_moment(tries: &mut u32) {
        *tries += 1;
        checker::thread::yield_now();
    }
}

pub(crate) use imp::{
    AtomicI64, AtomicU8, AtomicU32, AtomicU64, Mutex, Ordering, Swap, Word, checked_fence, fence,
    thread_number, wait_a_moment,
};

/// Real words under every checker: what they count decides nothing.
mod numbers {
    use core::sync::atomic::{AtomicU64, Ordering};

    /// A number that nobody else in this process has.
    pub(crate) fn next_number() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }
}

pub(crate) use numbers::next_number;

/// Lock, also after a panic in another holder: everything guarded is either rebuilt whole or a plain list.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> impl core::ops::DerefMut<Target = T> + '_ {
    match mutex.lock() {
        Ok(guard) => guard,
        Err(poisoned) => poisoned.into_inner(),
    }
}
