//! `heirloom demo`: a family of two devices on this machine, step by step, with every byte checked.
//!
//! Each step is a process of this very program, run as a person would run it,
//! so what the demo shows is what the commands do.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use super::Talk;
use crate::{
    args::Demo,
    error::{CliError, Told},
    ui::{Line, text},
};

/// Photos painted when no folder is given.
const PAINTED: u32 = 6;
const ALBUM: &str = "Summer";

/// One of the two devices.
struct Device {
    name: &'static str,
    home: PathBuf,
    program: PathBuf,
}

/// A command that goes on in the background.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

pub(super) async fn run(args: Demo, talk: &mut Talk<'_>) -> Result<u8, CliError> {
    let folder = tempfile::tempdir().map_err(|source| {
        broken(
            "make a folder in",
            Path::new("the temporary folder"),
            source,
        )
    })?;
    let program = std::env::current_exe()
        .map_err(|source| broken("find", Path::new("this program"), source))?;
    let device = |name| Device {
        name,
        home: folder.path().join(name),
        program: program.clone(),
    };
    let (laptop, pi) = (device("laptop"), device("pi"));
    let photos = match args.dir {
        Some(dir) => dir,
        None => paint(folder.path())?,
    };

    let sources = fill(&laptop, &photos, talk).await?;
    let serving = pair(&laptop, &pi, talk).await?;
    pi.step(talk, &["sync"], None).await?;

    let listed = pi.step(talk, &["list"], None).await?;
    let assets = listed.iter().filter(|line| line["type"] == "asset").count();
    let out = folder.path().join("exported");
    pi.step_os(
        talk,
        &[
            "export".as_ref(),
            out.as_os_str(),
            "--sidecars".as_ref(),
            "none".as_ref(),
        ],
        None,
    )
    .await?;
    let checked = compare(&sources, &out)?;
    tell(
        talk,
        &format!(
            "{assets} assets on both devices; {checked} files compared byte by byte: all the same."
        ),
    );
    tell_status(&[&laptop, &pi], talk).await?;
    serving.stop().await?;
    let summary = Line::own(
        "summary",
        json!({"act": "demo", "assets": assets, "files": checked}),
    );
    Ok(talk.close(&summary, |ui, _| {
        ui.say("Done. The folder of the demo is gone again; nothing else was touched.");
    }))
}

/// Founds the family and imports the photos; gives the files that were taken.
async fn fill(
    laptop: &Device,
    photos: &Path,
    talk: &mut Talk<'_>,
) -> Result<Vec<PathBuf>, CliError> {
    laptop
        .step(
            talk,
            &[
                "init",
                "--family",
                "Demo",
                "--person",
                "Anna",
                "--no-recovery",
            ],
            None,
        )
        .await?;
    let photos_text = photos.as_os_str();
    let imported = laptop
        .step_os(
            talk,
            &[
                "import".as_ref(),
                photos_text,
                "--album".as_ref(),
                ALBUM.as_ref(),
            ],
            None,
        )
        .await?;
    Ok(imported
        .iter()
        .filter(|line| {
            matches!(
                line["outcome"].as_str(),
                Some("added" | "present" | "paired")
            )
        })
        .filter_map(|line| line["path"].as_str().map(PathBuf::from))
        .collect())
}

/// Lets the second device join the first one's family, and leaves that one running.
async fn pair(laptop: &Device, pi: &Device, talk: &mut Talk<'_>) -> Result<Running, CliError> {
    let serve = [
        "serve",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
        "--no-discovery",
        "--no-gallery",
    ];
    let mut serving = laptop.start(talk, &serve)?;
    serving.wait_for("ready").await?;
    let mut inviting = laptop.start(talk, &["--yes", "invite", "--device"])?;
    let code = inviting.wait_for("invite").await?;
    let code = format!("{}\n", code["code"].as_str().unwrap_or_default());
    let joined = pi
        .step(talk, &["--yes", "join", "-", "--device", "pi"], Some(&code))
        .await?;
    say_words(talk, &joined);
    inviting.end().await?;
    Ok(serving)
}

/// Says of each device what is safe.
async fn tell_status(devices: &[&Device], talk: &mut Talk<'_>) -> Result<(), CliError> {
    for device in devices {
        let status = device.quiet(&["status"]).await?;
        let status = status
            .iter()
            .find(|line| line["type"] == "status")
            .cloned()
            .unwrap_or_default();
        tell(
            talk,
            &format!(
                "{}: {} assets, {} of them on two devices.",
                device.name, status["assets"], status["safe"]
            ),
        );
    }
    Ok(())
}

fn tell(talk: &mut Talk<'_>, sentence: &str) {
    if talk.ui.manner.json {
        talk.ui.line(&Line::own("note", json!({"text": sentence})));
    } else {
        talk.ui.say(text::plain(sentence));
    }
}

fn say_words(talk: &mut Talk<'_>, joined: &[Value]) {
    let words = joined.last().and_then(|line| line["words"].as_array());
    let words: Vec<_> = words
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    tell(talk, &format!("Both screens showed: {}", words.join(" ")));
}

fn broken(act: &'static str, path: &Path, source: std::io::Error) -> CliError {
    CliError::File {
        act,
        path: path.to_owned(),
        source,
    }
}

fn failed(what: &str) -> CliError {
    CliError::Told(Told {
        id: "E-INTERNAL".into(),
        message: what.into(),
        safe: Some("The demo works in a folder of its own; nothing else was touched.".into()),
        hint: Some("heirloom doctor names what is in the way on this machine".into()),
        exit: 1,
    })
}

impl Device {
    fn command(&self, args: &[&OsStr]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--home")
            .arg(&self.home)
            .arg("--json")
            .args(args);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        command
    }

    fn show(&self, talk: &mut Talk<'_>, args: &[&OsStr]) {
        let words: Vec<_> = args
            .iter()
            .map(|arg| arg.to_string_lossy())
            .filter(|arg| arg != "--yes")
            .map(|arg| {
                if arg.contains(' ') {
                    format!("\"{arg}\"")
                } else {
                    arg.into_owned()
                }
            })
            .collect();
        tell(
            talk,
            &format!("{}$ heirloom {}", self.name, words.join(" ")),
        );
    }

    async fn step(
        &self,
        talk: &mut Talk<'_>,
        args: &[&str],
        input: Option<&str>,
    ) -> Result<Vec<Value>, CliError> {
        let args: Vec<&OsStr> = args.iter().map(AsRef::as_ref).collect();
        self.step_os(talk, &args, input).await
    }

    async fn step_os(
        &self,
        talk: &mut Talk<'_>,
        args: &[&OsStr],
        input: Option<&str>,
    ) -> Result<Vec<Value>, CliError> {
        self.show(talk, args);
        self.finish(args, input).await
    }

    async fn quiet(&self, args: &[&str]) -> Result<Vec<Value>, CliError> {
        let args: Vec<&OsStr> = args.iter().map(AsRef::as_ref).collect();
        self.finish(&args, None).await
    }

    /// Runs a command to its end. Part of an import may fail: a broken file is no failure of the demo.
    async fn finish(&self, args: &[&OsStr], input: Option<&str>) -> Result<Vec<Value>, CliError> {
        let mut command = self.command(args);
        command.stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        let mut child = command
            .spawn()
            .map_err(|source| broken("run", &self.program, source))?;
        if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
            let written = stdin.write_all(input.as_bytes()).await;
            written.map_err(|source| broken("write to", &self.program, source))?;
        }
        let output = child.wait_with_output().await;
        let output = output.map_err(|source| broken("run", &self.program, source))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<Value> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        match (output.status.code(), lines.last()) {
            (Some(0 | 3), _) => Ok(lines),
            (_, Some(last)) if last["type"] == "error" => {
                Err(failed(last["message"].as_str().unwrap_or("a step failed")))
            }
            _ => Err(failed("a step of the demo ended without an answer")),
        }
    }

    fn start(&self, talk: &mut Talk<'_>, args: &[&str]) -> Result<Running, CliError> {
        let args: Vec<&OsStr> = args.iter().map(AsRef::as_ref).collect();
        self.show(talk, &args);
        let mut command = self.command(&args);
        command.stdin(Stdio::null());
        let mut child = command
            .spawn()
            .map_err(|source| broken("run", &self.program, source))?;
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| failed("a step of the demo says nothing"))?;
        Ok(Running {
            child,
            lines: BufReader::new(stdout).lines(),
        })
    }
}

impl Running {
    /// The next line of a type.
    async fn wait_for(&mut self, kind: &str) -> Result<Value, CliError> {
        while let Ok(Some(line)) = self.lines.next_line().await {
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            if line["type"] == kind {
                return Ok(line);
            }
            if line["type"] == "error" {
                return Err(failed(line["message"].as_str().unwrap_or("a step failed")));
            }
        }
        Err(failed("a step of the demo ended too early"))
    }

    /// Waits until it has come to its end.
    async fn end(mut self) -> Result<(), CliError> {
        self.wait_for("summary").await?;
        let _ = self.child.wait().await;
        Ok(())
    }

    /// Ends it.
    async fn stop(mut self) -> Result<(), CliError> {
        self.child
            .kill()
            .await
            .map_err(|source| broken("stop", Path::new("the node"), source))
    }
}

/// Compares every source with what was exported; says how many there were.
fn compare(sources: &[PathBuf], out: &Path) -> Result<usize, CliError> {
    let mut exported: BTreeMap<u64, Vec<PathBuf>> = BTreeMap::new();
    let mut folders = vec![out.to_owned()];
    while let Some(folder) = folders.pop() {
        let listed =
            std::fs::read_dir(&folder).map_err(|source| broken("read", &folder, source))?;
        for entry in listed.flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                Ok(metadata) => exported
                    .entry(metadata.len())
                    .or_default()
                    .push(entry.path()),
                Err(source) => return Err(broken("read", &entry.path(), source)),
            }
        }
    }
    for source in sources {
        let read = |path: &Path| std::fs::read(path).map_err(|source| broken("read", path, source));
        let bytes = read(source)?;
        let same_length = u64::try_from(bytes.len())
            .ok()
            .and_then(|len| exported.get(&len));
        let mut found = false;
        for candidate in same_length.into_iter().flatten() {
            found |= read(candidate)? == bytes;
        }
        if !found {
            return Err(failed(&format!(
                "{} did not come back byte for byte",
                source.display()
            )));
        }
    }
    Ok(sources.len())
}

/// Paints a few photos: BMP, which needs no encoder.
fn paint(folder: &Path) -> Result<PathBuf, CliError> {
    let photos = folder.join("photos");
    std::fs::create_dir(&photos).map_err(|source| broken("make", &photos, source))?;
    for number in 0..PAINTED {
        let path = photos.join(format!("painted-{}.bmp", number + 1));
        let written =
            std::fs::File::create(&path).and_then(|mut file| file.write_all(&painting(number)));
        written.map_err(|source| broken("write", &path, source))?;
    }
    Ok(photos)
}

/// A sky over a sea, another one for each number: 640 by 480, 24 bits a pixel.
fn painting(number: u32) -> Vec<u8> {
    const WIDTH: u32 = 640;
    const HEIGHT: u32 = 480;
    let pixels = WIDTH * HEIGHT * 3;
    let mut bmp = b"BM".to_vec();
    for value in [54 + pixels, 0, 54, 40, WIDTH, HEIGHT] {
        bmp.extend(value.to_le_bytes());
    }
    bmp.extend([1, 0, 24, 0]);
    for value in [0, pixels, 2835, 2835, 0, 0] {
        bmp.extend(value.to_le_bytes());
    }
    let shade = |value: u32| u8::try_from(value.min(255)).unwrap_or(u8::MAX);
    let sun = (120 + number * 80, 320 + number * 15);
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let (dx, dy) = (x.abs_diff(sun.0), y.abs_diff(sun.1));
            let [red, green, blue] = if dx * dx + dy * dy < 1600 {
                [255, 220, 120]
            } else if y > HEIGHT / 3 {
                [
                    shade(80 + number * 20),
                    shade(120 + y / 6),
                    shade(200 + y / 10),
                ]
            } else {
                [
                    shade(10 + x / 20),
                    shade(60 + y / 3),
                    shade(110 + number * 10 + y / 4),
                ]
            };
            bmp.extend([blue, green, red]);
        }
    }
    bmp
}
