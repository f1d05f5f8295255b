//! Whether a test may run here.

use anyhow::Result;

use crate::privilege::require_root;
use crate::testbed::host::sweep;

/// Whether a test may run: it needs root, and says so if it is skipped. What a killed lab left behind is removed.
pub fn may_run(test: &str) -> Result<bool> {
    let may = require_root(test);
    if may {
        sweep()?;
    }
    Ok(may)
}
