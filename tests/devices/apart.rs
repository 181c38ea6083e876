//! Two devices that met once and know no address of each other any more.

use std::{collections::BTreeSet, fs};

use super::{Device, Dice, Homes, link, pair, pictures, sums};

/// The devices, and where else something of the test may lie.
pub(crate) struct Apart {
    pub(crate) homes: Homes,
    pub(crate) dice: Dice,
    pub(crate) a: Device,
    pub(crate) b: Device,
    /// Where photos go, if not into the library.
    album: Option<&'static str>,
}

impl Apart {
    /// Of one person.
    pub(crate) fn alone() -> Self {
        Self::new(&["--device"], None)
    }

    /// Of two people who share an album in which there is no photo yet.
    pub(crate) fn sharing(album: &'static str) -> Self {
        Self::new(&["--person", "Ben", "--album", album], Some(album))
    }

    fn new(whom: &[&str], album: Option<&'static str>) -> Self {
        let (homes, dice) = (Homes::new(), Dice::new());
        let [a, b] = ["a", "b"].map(|name| homes.device(name));
        a.init("Berger", "Anna", "laptop");
        if let Some(album) = album {
            a.ok(&["album", "create", album]);
        }
        let node = a.serve();
        pair(&a, whom, &b, "desk", link);
        node.stop();
        for device in [&a, &b] {
            device.forget_all();
        }
        Self {
            homes,
            dice,
            a,
            b,
            album,
        }
    }

    /// Photos in a folder of their own, taken in on a device; their sums.
    pub(crate) fn import(&mut self, device: &Device, count: u32) -> BTreeSet<String> {
        self.import_with(device, count, 0)
    }

    /// The same, with a movie of so many bytes unless that is none.
    pub(crate) fn import_with(
        &mut self,
        device: &Device,
        count: u32,
        movie: usize,
    ) -> BTreeSet<String> {
        let folder = self.homes.path().join(self.dice.word(8));
        fs::create_dir(&folder).expect("a folder");
        for n in 0..count {
            let bytes = pictures::bmp(50 + n, &mut self.dice);
            fs::write(folder.join(format!("{n}.bmp")), bytes).expect("a photo");
        }
        if movie > 0 {
            let bytes = pictures::movie(movie, &mut self.dice);
            fs::write(folder.join("clip.mp4"), bytes).expect("a movie");
        }
        let mut words = vec!["import", folder.to_str().expect("UTF-8")];
        words.extend(self.album.iter().flat_map(|album| ["--album", album]));
        device.ok(&words);
        sums(&folder).into_keys().collect()
    }

    /// The originals that a device can give out, by their sums.
    pub(crate) fn originals(&mut self, device: &Device) -> BTreeSet<String> {
        let out = self.homes.path().join(self.dice.word(8));
        let path = out.to_str().expect("UTF-8");
        device.run(&["export", path, "--sidecars", "none"], "");
        sums(&out).into_keys().collect()
    }
}
