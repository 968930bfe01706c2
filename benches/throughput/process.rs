//! What this process takes from the machine.

use std::{fs, time::Duration};

/// User and system time of all threads.
pub(crate) fn cpu_time() -> Duration {
    // SAFETY: `getrusage` fills the struct, for which all zeros is a valid value.
    #[allow(unsafe_code)]
    let usage = unsafe {
        let mut usage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &mut usage), 0);
        usage
    };
    let duration = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.cast_unsigned())
            + Duration::from_micros(time.tv_usec.cast_unsigned())
    };
    duration(usage.ru_utime) + duration(usage.ru_stime)
}

/// Memory that is in use, in MiB. Linux only.
pub(crate) fn resident_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: Option<f64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.expect("a number of kB") / 1024.0
}

/// Lets the allocator return what is free, which would otherwise hide what is taken next.
pub(crate) fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `malloc_trim` may be called at any time, by any thread.
    #[allow(unsafe_code)]
    unsafe {
        libc::malloc_trim(0);
    }
}
