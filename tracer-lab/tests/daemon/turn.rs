//! The daemon sees the whole host: a test that floods it, or compares its totals, runs alone.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;

use tracer_lab::privilege;

static TURN: RwLock<()> = RwLock::new(());

/// Waits until the test may run beside others; nothing if it is to be skipped.
pub(crate) fn beside_others() -> Option<RwLockReadGuard<'static, ()>> {
    has_root().then(|| TURN.read().unwrap_or_else(PoisonError::into_inner))
}

/// Waits until the test may run alone; nothing if it is to be skipped.
pub(crate) fn alone() -> Option<RwLockWriteGuard<'static, ()>> {
    has_root().then(|| TURN.write().unwrap_or_else(PoisonError::into_inner))
}

/// The harness names each test's thread after it.
fn has_root() -> bool {
    privilege::require_root(thread::current().name().unwrap_or("daemon"))
}
