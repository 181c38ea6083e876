//! The worker process: foreign bytes in, metadata and pictures out, nothing else.
//!
//! The program runs itself again (`heirloom worker-decode`) with a pipe to either side. The
//! child gives up every right it does not need, then asks for the bytes of one file at a time,
//! piece by piece: no plaintext touches a disk, a movie of gigabytes costs a few kilobytes, and
//! the same works for a file and for a blob that is decrypted as it is read.
//!
//! ```text
//!   Pool (thread of the node)               child
//!     Job: type, size, what is wanted ----->
//!                           <----- Read: offset, length     (as often as needed)
//!     Bytes ------------------------------>
//!                           <----- Metadata, Preview, Thumbnail, Hash
//!                           <----- Done: well, or why not
//! ```
//!
//! At any moment exactly one side speaks, so full pipes cannot lock both. A child that dies,
//! stalls or talks nonsense costs the one picture it was given.

mod child;
mod frame;
mod pool;

pub use self::child::run;
pub(crate) use self::pool::hear;
pub use self::pool::{Made, Pool};
