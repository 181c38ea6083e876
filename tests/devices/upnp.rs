//! A router that opens ports when it is asked to (UPnP), as `miniupnpd` does it.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{namespaces::End, wait_until};

/// Where its rules stand.
const TABLE: &str = "table inet opener {
    chain through { type filter hook forward priority 0; jump opened; }
    chain opened { }
    chain coming { type nat hook prerouting priority -100; jump led; }
    chain led { }
    chain leaving { type nat hook postrouting priority 100; jump left; }
    chain left { }
}
insert rule ip filter through ct status dnat accept";

/// Why there can be none here.
pub(crate) fn lacking_opener() -> Option<&'static str> {
    let found = Command::new("miniupnpd").arg("--help").output();
    found
        .err()
        .map(|_| "a router that opens ports needs miniupnpd")
}

/// The program in a router's namespace. Gone when dropped.
pub(crate) struct Opener {
    router: String,
    program: Child,
}

impl Opener {
    /// Serves the home behind a router of [`super::internet::Internet`]; keeps its files in a folder.
    pub(crate) fn new(router: &End, folder: &Path) -> Self {
        router.rules(TABLE);
        let config = folder.join("opener.conf");
        let settings = [
            format!("ext_ifname={}", router.link),
            format!("lease_file={}", folder.join("opener.leases").display()),
        ];
        let rest = "listening_ip=inside
enable_upnp=yes
enable_natpmp=no
secure_mode=yes
uuid=00000000-0000-0000-0000-000000000001
upnp_table_name=opener
upnp_nat_table_name=opener
upnp_forward_chain=opened
upnp_nat_chain=led
upnp_nat_postrouting_chain=left
allow 1024-65535 0.0.0.0/0 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
";
        fs::write(&config, format!("{}\n{rest}", settings.join("\n"))).expect("settings");
        let log = folder.join("opener.log");
        let program = Command::new("ip")
            .args(["netns", "exec", &router.name, "miniupnpd", "-d", "-f"])
            .arg(&config)
            .arg("-P")
            .arg(folder.join("opener.pid"))
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).expect("a log"))
            .spawn()
            .expect("it is there");
        let opener = Self {
            router: router.name.clone(),
            program,
        };
        // Who asks before finds nobody, and does not ask again.
        wait_until("the router listens", Duration::from_secs(20), || {
            let said = fs::read_to_string(&log);
            said.is_ok_and(|said| said.contains("HTTP listening"))
        });
        opener
    }

    /// What it has had the router do.
    pub(crate) fn rules(&self) -> String {
        let shown = Command::new("ip")
            .args([
                "netns",
                "exec",
                &self.router,
                "nft",
                "list",
                "table",
                "inet",
                "opener",
            ])
            .output()
            .expect("nftables");
        String::from_utf8(shown.stdout).expect("text")
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        // An error says that it has ended.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
