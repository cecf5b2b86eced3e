//! Memory that holds nothing any more, back to the operating system.

#![allow(unsafe_code, reason = "the C library's own call")]

/// Give back every page that holds nothing. What a large file was read into lies before what is kept of it, and the C
/// library gives back by itself only what lies behind everything.
pub(crate) fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes a plain number, the bytes to keep free at the end of the heap, and may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
