//! Fault points: named moments between two durable steps at which a test can end the process, as `kill -9` would. Builds
//! without debug assertions have none. Which step follows is the business of whoever names the point.

use std::path::PathBuf;

/// Watches `file` from now on: the process aborts at the n-th passage of any point, where n is the number in the file. While
/// there is no such file nothing happens. Only the first call counts; release builds never look.
pub fn watch(file: Option<PathBuf>) {
    #[cfg(debug_assertions)]
    armed::watch(file);
    #[cfg(not(debug_assertions))]
    drop(file);
}

/// A moment at which a crash must do no harm.
#[inline]
pub fn point(name: &'static str) {
    #[cfg(debug_assertions)]
    armed::pass(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
mod armed {
    use std::{
        fs,
        path::PathBuf,
        sync::{Mutex, OnceLock, PoisonError},
    };

    static WATCHED: OnceLock<Mutex<PathBuf>> = OnceLock::new();

    pub(super) fn watch(file: Option<PathBuf>) {
        if let Some(file) = file {
            // A second server in one process has no faults of its own.
            drop(WATCHED.set(Mutex::new(file)));
        }
    }

    pub(super) fn pass(name: &'static str) {
        let Some(watched) = WATCHED.get() else { return };
        // Held over reading and writing: each passage counts once.
        let file = watched.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(text) = fs::read_to_string(&*file) else { return };
        let Ok(left) = text.trim().parse::<u32>() else { return };
        if left <= 1 {
            let _ = fs::remove_file(&*file);
            tracing::info!("Aborting at the fault point `{name}`");
            std::process::abort();
        }
        let _ = fs::write(&*file, (left - 1).to_string());
    }
}
