//! The disk under a shop on SQLite is full, or breaks and becomes read-only: nothing is acknowledged that is not stored, the
//! shop says what is wrong, goes on reading, and is well again when the disk is.
//!
//! A story of these runs in a process of its own whose mounts nobody else sees and which end with it: a small disk in
//! memory for the full one; for the other a file system in a file that is told that it has failed, as a kernel does to one
//! whose disk fails under it. Rejected: files without permissions, which do not stop who has them open, nor root at all.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use deployments::{Running, Topology, await_that, block_on, client, say, text};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::load::{Exchange, Ledger, Load, assert_nothing_open};
use crate::{await_gone, fault, figures, shipped, with_shop};

/// Names the story that a process tells which has mounts of its own.
pub const INSIDE: &str = "SOUK_FAULTS_INSIDE";
/// Where it leaves its row of the table.
const ROW: &str = "SOUK_FAULTS_ROW";

const CUSTOMERS: usize = 8;
const ENOUGH: usize = 40;
const WITHIN: Duration = Duration::from_secs(60);
/// How soon the shop must sell again once there is room.
const WELL_WITHIN: Duration = Duration::from_secs(5);
/// The code of what cannot be stored.
const NOT_STORED: &str = "storage_unavailable";

pub fn trials() -> Vec<Trial> {
    let full = fault("disk_full", Topology::Sqlite, &[no_mounts], || tell("disk_full"));
    let broken =
        fault("disk_read_only", Topology::Sqlite, &[no_mounts, no_disks_in_files], || tell("disk_read_only"));
    vec![full, broken]
}

/// Root needs no more than mounts of its own; others become root among their own processes.
fn with_own_mounts() -> Command {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    let mut command = Command::new("unshare");
    command.arg(if is_root { "-m" } else { "-Urm" });
    command
}

fn try_mounting(script: &str) -> bool {
    let Ok(folder) = tempfile::tempdir() else { return false };
    let mut command = with_own_mounts();
    command.args(["bash", "-ec", script]).env("PATH", path()).current_dir(folder.path());
    command.output().is_ok_and(|tried| tried.status.success())
}

fn no_mounts() -> Option<String> {
    let mounts = try_mounting("mkdir m; mount -t tmpfs -o size=1m tmpfs m; umount m");
    (!mounts).then(|| "nothing can be mounted here".to_owned())
}

fn no_disks_in_files() -> Option<String> {
    let script = "truncate -s 8M disk; mkfs.ext4 -q disk; mkdir m; mount -o loop disk m; umount m";
    (!try_mounting(script)).then(|| "no file can be mounted as a disk here".to_owned())
}

/// Debian keeps these programs out of everybody's path.
fn path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

/// Tells a story in a process with mounts of its own, and waits for its end.
fn tell(story: &str) -> Result<(), String> {
    let folder = tempfile::Builder::new().prefix("souk-disk-").tempdir().map_err(text)?;
    let row = folder.path().join("row");
    let mut command = with_own_mounts();
    command.arg(std::env::current_exe().map_err(text)?).env(INSIDE, story).env(ROW, &row);
    let told = command.env("TMPDIR", folder.path()).env("PATH", path()).output().map_err(text)?;
    if !told.status.success() {
        return Err(String::from_utf8_lossy(&told.stderr).into_owned());
    }
    let row = std::fs::read_to_string(row).map_err(text)?;
    figures::add(serde_json::from_str(&row).map_err(text)?);
    Ok(())
}

/// In that process.
pub fn tell_inside(story: &str) -> ExitCode {
    let told = match story {
        "disk_full" => with_shop(story, Topology::Sqlite, shipped(), full),
        _ => with_shop(story, Topology::Sqlite, shipped(), read_only),
    };
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&failure);
            ExitCode::FAILURE
        }
    }
}

/// The small disk that the data lies on.
struct Disk {
    data: PathBuf,
    filler: PathBuf,
    image: PathBuf,
}

impl Disk {
    /// Moves the data of a shop onto a disk of its own.
    fn under(shop: &Running, mount: &str) -> Result<Self, String> {
        let data = shop.data();
        let beside = |name: &str| data.with_file_name(name);
        let disk = Self { filler: data.join("filler"), image: beside("disk"), data: data.clone() };
        stop(shop)?;
        disk.run(&format!(
            "mv \"$DATA\" \"$DATA.before\"; mkdir -m 700 \"$DATA\"; {mount}; cp -a \"$DATA.before/.\" \"$DATA/\""
        ))?;
        shop.start_process("souk")?;
        Ok(disk)
    }

    fn run(&self, script: &str) -> Result<(), String> {
        let mut shell = Command::new("bash");
        shell.args(["-ec", script]).env("DATA", &self.data).env("DISK", &self.image);
        let output = shell.output().map_err(text)?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(()) } else { Err(format!("{script}: {said}")) }
    }

    /// Takes all the room that is left.
    fn fill(&self) -> Result<(), String> {
        let mut filler = File::options().create(true).append(true).open(&self.filler).map_err(text)?;
        for size in [64 * 1024, 4 * 1024, 64, 1] {
            while filler.write(&vec![b'x'; size]).is_ok_and(|written| written == size) {}
        }
        Ok(())
    }

    fn make_room(&self) -> Result<(), String> {
        std::fs::remove_file(&self.filler).map_err(text)
    }

    /// Puts the data back to where the shop's guard expects it.
    fn end(self, shop: &Running) -> Result<(), String> {
        stop(shop)?;
        self.run("umount \"$DATA\"; rm -rf \"$DATA.before\"")
    }
}

fn stop(shop: &Running) -> Result<(), String> {
    shop.signal("souk", "TERM")?;
    await_gone(shop, "souk")
}

fn full(shop: &Running) -> Result<(), String> {
    // Eight databases, whose write-ahead logs grow to 4 MB each.
    let disk = Disk::under(shop, "mount -t tmpfs -o size=48m,mode=700 tmpfs \"$DATA\"")?;
    let mut load = Load::start(&shop.address, "disk_full", CUSTOMERS)?;
    load.await_more(ENOUGH, WITHIN)?;

    let mut well_again = Vec::new();
    for _time in 0..2 {
        let heard = load.heard(NOT_STORED);
        disk.fill()?;
        // What was free inside of the files is used up first.
        let unhealthy = await_that(WITHIN, || {
            disk.fill()?;
            let paid = load.paid();
            let is_full = says(shop, "/readyz", "full")? && load.heard(NOT_STORED) >= heard + CUSTOMERS;
            Ok((is_full && load.paid() == paid).then_some(()))
        })?;
        unhealthy.ok_or("the shop never said that its disk is full")?;
        assert_says_so(shop, &load, "full")?;
        disk.make_room()?;
        well_again.push(await_well(shop, &load, Instant::now())?);
        // A refusal is rolled back: that must not disturb what comes after it.
        block_on(load.is_refused());
        load.await_more(ENOUGH, WITHIN)?;
    }
    let ledger = load.end()?;
    // What was acknowledged does not live in the memory of the process.
    shop.signal("souk", "KILL")?;
    await_gone(shop, "souk")?;
    shop.start_process("souk")?;
    keep_row("SQLite's disk full", &ledger, &well_again.join(", "))?;
    ledger.allow(Exchange::asks_to_come_back)?;
    shop.assert_healthy()?;
    assert_nothing_open(shop)?;
    load.assert_kept(&ledger)?;
    disk.end(shop)
}

/// Such a file system does not come back by itself: it is checked and mounted again, and the shop started on it.
fn read_only(shop: &Running) -> Result<(), String> {
    let mount = "mount -o loop,errors=remount-ro \"$DISK\" \"$DATA\"; rm -rf \"$DATA/lost+found\"";
    let disk = Disk::under(shop, &format!("truncate -s 64M \"$DISK\"; mkfs.ext4 -q \"$DISK\"; {mount}"))?;
    let mut load = Load::start(&shop.address, "disk_read_only", CUSTOMERS)?;
    load.await_more(ENOUGH, WITHIN)?;

    // Of accounts and the catalogue a failing disk may lose the last moments (`DbOptions::durable`); these are older.
    disk.run("sync -f \"$DATA\"; mount -o remount,abort \"$DATA\"")?;
    let unhealthy = await_that(WITHIN, || {
        Ok((says(shop, "/readyz", "read-only")? && load.heard(NOT_STORED) >= CUSTOMERS).then_some(()))
    })?;
    unhealthy.ok_or("the shop never said that its disk is read-only")?;
    assert_says_so(shop, &load, "read-only")?;
    stop(shop)?;
    disk.run(&format!("umount \"$DATA\"; e2fsck -p \"$DISK\" || [ $? -le 2 ]; {mount}"))?;
    shop.start_process("souk")?;
    let well_again = await_well(shop, &load, Instant::now())?;
    load.await_more(ENOUGH, WITHIN)?;
    let ledger = load.end()?;
    keep_row("SQLite's disk read-only", &ledger, &format!("{well_again} after the restart"))?;
    // Nobody answers between the end and the start of the only process.
    ledger.allow(|exchange| {
        exchange.asks_to_come_back() || exchange.status.is_none() || exchange.was_given_up()
    })?;
    shop.assert_healthy()?;
    assert_nothing_open(shop)?;
    load.assert_kept(&ledger)?;
    disk.end(shop)
}

/// While nothing can be stored: health and log say why, what can be read is read, and nothing is acknowledged.
fn assert_says_so(shop: &Running, load: &Load, why: &str) -> Result<(), String> {
    if !says(shop, "/health", why)? {
        return Err(format!("/health does not say that the disk is {why}"));
    }
    let log = std::fs::read_to_string(shop.data().with_file_name("log")).map_err(text)?;
    if !log.lines().any(|line| line.contains("takes no changes") && line.contains(why)) {
        return Err(format!("the log does not say that the disk is {why}"));
    }
    block_on(async {
        let price = load.price("FAULT-0").await;
        let orders = load.all_orders().await;
        if price.is_none() || orders == 0 {
            return Err(format!("nothing can be read: price {price:?}, {orders} orders"));
        }
        Ok(())
    })
}

/// Whether a health check fails and names a cause.
fn says(shop: &Running, path: &str, why: &str) -> Result<bool, String> {
    block_on(async {
        let answer = client().get(format!("{}{path}", shop.address)).send().await.map_err(text)?;
        let unwell = answer.status() == 503 && answer.headers().contains_key("retry-after");
        let said: Value = answer.json().await.map_err(text)?;
        Ok(unwell && said["failed"].as_str().is_some_and(|failed| failed.contains(why)))
    })
}

/// Waits until the shop is ready and sells; gives how long that took.
fn await_well(shop: &Running, load: &Load, since: Instant) -> Result<String, String> {
    let paid = await_that(WELL_WITHIN, || Ok(load.first_paid_since(since)))?;
    let paid =
        paid.ok_or_else(|| format!("nobody could buy within {WELL_WITHIN:?}: {}", load.last_words()))?;
    let ready = await_that(WELL_WITHIN, || {
        let ready = block_on(async { client().get(format!("{}/readyz", shop.address)).send().await });
        Ok(ready.is_ok_and(|answer| answer.status().as_u16() == 200).then_some(()))
    })?;
    ready.ok_or("the shop is not ready")?;
    Ok(figures::seconds(paid - since))
}

fn keep_row(fault: &str, ledger: &Ledger, well_again: &str) -> Result<(), String> {
    let row = figures::row(fault, Topology::Sqlite, ledger, well_again);
    let row = serde_json::to_string(&row).map_err(text)?;
    std::fs::write(Path::new(&deployments::variable(ROW).unwrap_or_default()), row).map_err(text)
}
