//! Every order in which things may arrive.

/// Shows each order of these things once, and leaves them as they were.
///
/// Seven have 5,040 orders.
pub(crate) fn permute<T>(things: &mut [T], see: &mut impl FnMut(&[T])) {
    from(things, 0, see);
}

fn from<T>(things: &mut [T], done: usize, see: &mut impl FnMut(&[T])) {
    if done == things.len() {
        see(things);
    }
    for next in done..things.len() {
        things.swap(done, next);
        from(things, done + 1, see);
        things.swap(done, next);
    }
}
