//! Reading the configuration again when it changes, as far as the daemon can still read it.

use std::{
    collections::BTreeSet, fs, net::SocketAddr, os::unix::fs::MetadataExt as _, path::PathBuf, sync::Arc,
    time::Duration,
};

use anyhow::{Result, ensure};
use log::{info, warn};
use tokio::{task::spawn_blocking, time::sleep};

use super::{Reader, Settings, Web};

/// How often the files are looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What changes whenever a file does: its inode, when that was changed last, and its size. Nothing where it cannot be
/// seen.
type Stamp = Option<(u64, i64, i64, u64)>;

impl Web {
    /// The directories of the files, where others take their place; of symbolic links also those they lead to. Not the
    /// root, in which everything would be.
    pub(crate) fn directories(&self) -> BTreeSet<PathBuf> {
        let real = self.files.iter().filter_map(|file| fs::canonicalize(file).ok());
        let parent =
            |file: PathBuf| file.parent().filter(|parent| parent.parent().is_some()).map(PathBuf::from);
        self.files.iter().cloned().chain(real).filter_map(parent).collect()
    }

    /// How the answers are asked for.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.current().tls.is_some() { "https" } else { "http" }
    }

    /// Says so where strangers can connect and nothing keeps them out.
    pub(crate) fn warn_if_open(&self, address: SocketAddr) {
        let warning = self.current().protection().warning();
        if let Some(warning) = warning.filter(|_| !address.ip().to_canonical().is_loopback()) {
            warn!("{address} is not on loopback, and {warning}");
        }
    }

    /// Follows changes of the files, for as long as somebody is served.
    pub(in crate::http) async fn follow(self: Arc<Self>) {
        if self.files.is_empty() {
            return;
        }
        let mut follower = Follower::new(self);
        // A file system that stands still must not hold up those who answer.
        while let Ok(looked) = spawn_blocking(move || {
            follower.look();
            follower
        })
        .await
        {
            follower = looked;
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// Who follows changes, and what was seen of the files.
struct Follower {
    web: Arc<Web>,
    files: Vec<PathBuf>,
    /// As they were when they were read.
    read: Option<Vec<Stamp>>,
    /// As they were when they were looked at last.
    seen: Option<Vec<Stamp>>,
}

impl Follower {
    fn new(web: Arc<Web>) -> Self {
        Self { files: web.files.clone(), web, read: None, seen: None }
    }

    /// Reads the files if they changed, but not while they are being written: they have to be the same twice. The first
    /// look reads them in any case, and shows whether that is still possible.
    fn look(&mut self) {
        let now: Vec<_> = self.files.iter().map(stamp).collect();
        let rest = self.seen.as_ref().is_none_or(|seen| *seen == now);
        if rest && self.read.as_ref() != Some(&now) {
            match (self.reload(), &self.read) {
                (Ok(()), None) => {}
                (Ok(()), Some(_)) => info!("the web configuration was read again"),
                (Err(error), None) => warn!("changes of the web configuration need a restart: {error:#}"),
                (Err(error), Some(_)) => warn!("the web configuration stays as it was: {error:#}"),
            }
            self.read = Some(now.clone());
        }
        self.seen = Some(now);
    }

    fn reload(&mut self) -> Result<()> {
        let mut reader = Reader::default();
        let settings = Settings::read(&self.files[0], &mut reader)?;
        ensure!(
            settings.protection() == self.web.current().protection(),
            "whether TLS, passwords and client certificates are asked for changes with a restart only"
        );
        self.web.current.store(Arc::new(settings));
        self.files = reader.files;
        Ok(())
    }
}

fn stamp(file: &PathBuf) -> Stamp {
    let seen = fs::metadata(file).ok()?;
    Some((seen.ino(), seen.ctime(), seen.ctime_nsec(), seen.size()))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, path::Path};

    use tempfile::TempDir;

    use super::*;

    const HASH: &str = "$2b$04$6ZH8UehT.NowzBpTcX2nA.h6f78zB4OVhEr7XCSHglu28Li8BQQ6W";

    fn headers(value: &str) -> String {
        format!(
            "basic_auth_users: {{anna: {HASH}}}\nhttp_server_config: {{headers: {{X-XSS-Protection: {value}}}}}\n"
        )
    }

    fn used(web: &Web) -> String {
        web.current().headers["X-XSS-Protection"].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_change_is_taken_once_the_file_rests_and_what_is_wrong_changes_nothing() {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("web.yml");
        let write = |text: &str| fs::write(&file, text).unwrap();
        let replace = |text: &str| {
            let other = directory.path().join("new.yml");
            fs::write(&other, text).unwrap();
            fs::rename(other, &file).unwrap();
        };
        write(&headers("first"));
        let web = Arc::new(Web::open(Some(&file)).unwrap());
        let mut follower = Follower::new(Arc::clone(&web));
        follower.look();
        assert_eq!(used(&web), "first");
        let changes: [(&str, &dyn Fn(), &str); 6] = [
            ("written in place", &|| write(&headers("in-place")), "in-place"),
            ("replaced", &|| replace(&headers("replaced")), "replaced"),
            ("broken", &|| write("basic_auth_users"), "replaced"),
            ("emptied", &|| write(""), "replaced"),
            ("removed", &|| fs::remove_file(&file).unwrap(), "replaced"),
            ("there again", &|| write(&headers("again")), "again"),
        ];
        let mut before = String::from("first");
        for (what, change, after) in changes {
            change();
            follower.look();
            assert_eq!(used(&web), before, "{what}: it may still be written");
            follower.look();
            assert_eq!(used(&web), after, "{what}");
            before = after.to_owned();
        }
    }

    #[test]
    fn what_changed_while_the_daemon_started_is_taken_at_the_first_look() {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("web.yml");
        fs::write(&file, headers("before")).unwrap();
        let web = Arc::new(Web::open(Some(&file)).unwrap());
        fs::write(&file, headers("meanwhile")).unwrap();
        Follower::new(Arc::clone(&web)).look();
        assert_eq!(used(&web), "meanwhile");
    }

    #[test]
    fn the_directories_of_links_and_of_what_they_lead_to_stay_readable() {
        let root = TempDir::new().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("archive")).unwrap();
        fs::create_dir_all(at("live")).unwrap();
        fs::write(at("archive/web1.yml"), headers("linked")).unwrap();
        symlink(Path::new("../archive/web1.yml"), at("live/web.yml")).unwrap();
        let web = Web::open(Some(&at("live/web.yml"))).unwrap();
        let real = fs::canonicalize(root.path()).unwrap();
        assert_eq!(web.directories(), [at("live"), real.join("archive")].into());
        let none = Web::open(None).unwrap();
        assert!(none.directories().is_empty());
        assert!(Web { files: vec![PathBuf::from("/web.yml")], ..none }.directories().is_empty());
    }
}
