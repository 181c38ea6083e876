//! Disks that fail: every change in turn is refused, or is the last before a crash.
