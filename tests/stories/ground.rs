//! Where a family lives: in two homes and a third place in namespaces, or where these cannot be made on one machine.

use crate::devices::{Device, Dice};

#[cfg(target_os = "linux")]
use std::fs;

#[cfg(target_os = "linux")]
use super::between_homes::{TROUBLES, trouble};
#[cfg(target_os = "linux")]
use crate::devices::{
    internet::{Internet, Router, lacking_internet},
    skipped,
};

/// The networks, and what is wrong with them just now.
pub(super) struct Ground {
    #[cfg(target_os = "linux")]
    internet: Option<Internet>,
    #[cfg(target_os = "linux")]
    is_bad: [bool; 2],
}

#[cfg(target_os = "linux")]
impl Ground {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let router = match dice.coin() {
            true => Router::KeepsPorts,
            false => Router::DrawsPorts,
        };
        let lacking = lacking_internet();
        if let Some(why) = lacking {
            skipped(&format!("the lines between the homes of six: {why}"));
        }
        Self {
            internet: lacking.is_none().then(|| Internet::new('s', router)),
            is_bad: [false; 2],
        }
    }

    /// Whether there are homes at all.
    pub(super) fn is_wide(&self) -> bool {
        self.internet.is_some()
    }

    /// A device that is not set up comes to the third place; originals are to come by whatever way.
    pub(super) fn settle(&self, device: &mut Device) {
        if let Some(internet) = &self.internet {
            fs::remove_file(device.home.join("config.toml")).expect("it was there");
            for setting in [["port_mapping", "false"], ["relay_originals", "true"]] {
                device.ok(&[&["config", "set"], &setting[..]].concat());
            }
            device.prefix = internet.place.prefix();
        }
    }

    /// What stands before a command in a home.
    pub(super) fn home(&self, nth: usize) -> Vec<String> {
        let internet = self.internet.as_ref().expect("there are homes");
        internet.homes[nth].prefix()
    }

    /// An address in the third place.
    pub(super) fn address(&self, port: u16, peer: &str) -> String {
        let internet = self.internet.as_ref().expect("there is a place");
        format!("/ip4/{}/tcp/{port}/p2p/{peer}", internet.place.ip)
    }

    /// The line of a home becomes bad in one way or another, or well again; what happened.
    pub(super) fn shake(&mut self, home: usize, dice: &mut Dice) -> Option<&'static str> {
        let router = &self.internet.as_ref()?.routers[home];
        self.is_bad[home] = !self.is_bad[home];
        if !self.is_bad[home] {
            router.rules("delete table ip trouble");
            return Some("lines mended");
        }
        let nth = dice.within(0, u64::try_from(TROUBLES.len()).expect("few"));
        let (what, rule) = TROUBLES[usize::try_from(nth).expect("few")];
        trouble(router, rule);
        Some(what)
    }

    /// All lines are well.
    pub(super) fn calm(&mut self) {
        let Some(internet) = &self.internet else {
            return;
        };
        for (router, is_bad) in internet.routers.iter().zip(&mut self.is_bad) {
            if std::mem::take(is_bad) {
                router.rules("delete table ip trouble");
            }
        }
    }
}

/// Elsewhere there are no namespaces.
#[cfg(not(target_os = "linux"))]
impl Ground {
    pub(super) fn new(_: &mut Dice) -> Self {
        Self {}
    }

    pub(super) fn is_wide(&self) -> bool {
        false
    }

    pub(super) fn settle(&self, _: &mut Device) {}

    pub(super) fn home(&self, _: usize) -> Vec<String> {
        Vec::new()
    }

    pub(super) fn address(&self, _: u16, _: &str) -> String {
        String::new()
    }

    pub(super) fn shake(&mut self, _: usize, _: &mut Dice) -> Option<&'static str> {
        None
    }

    pub(super) fn calm(&mut self) {}
}
