//! What families live through, with real devices: each file is a story, played by processes of the program.
//!
//! They are one program, since most of them wait most of the time and can wait together.

#[path = "../devices/mod.rs"]
mod devices;

mod alone;
mod bandwidth;
mod between_homes;
mod buckets;
mod caches;
mod canary;
mod cards;
mod carried;
mod copies;
mod cuts;
mod damage;
mod deleted;
mod depots;
mod faults;
mod flood;
mod full;
mod gallery;
mod gone;
mod gone_bad;
mod ground;
mod imports;
mod joins;
mod keeper;
mod keepers;
mod kill;
mod lan_only;
mod lines;
mod logged;
mod lost;
mod missed;
mod namespaces;
mod previews;
mod reached;
mod reads;
mod removed;
mod restore;
mod restored;
mod service;
mod six;
mod sources;
mod strangers;
mod takeout;
mod terminal;
mod two_homes;
mod unread;
mod unshared;
mod watch;
