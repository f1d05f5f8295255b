//! Reading the configuration again when it changes, as far as the daemon can still read it.

use std::{collections::BTreeSet, fs, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Result;
use log::{info, warn};
use tokio::{task::spawn_blocking, time::sleep};

use super::{
    Settings, Web,
    file::{Reader, Version},
};

/// How often the files are looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Web {
    /// The directories of the files, where others take their place; of symbolic links also those they lead to. Not the
    /// root, in which everything would be.
    pub(crate) fn directories(&self) -> BTreeSet<PathBuf> {
        let files = || self.files.iter().map(|version| version.file.clone());
        let real = files().filter_map(|file| fs::canonicalize(file).ok());
        let parent =
            |file: PathBuf| file.parent().filter(|parent| parent.parent().is_some()).map(PathBuf::from);
        files().chain(real).filter_map(parent).collect()
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
    /// What was tried last, and of which files; nothing before the first look.
    tried: Option<Vec<Version>>,
    /// Those files, as they were when they were looked at last.
    seen: Vec<Version>,
}

impl Follower {
    fn new(web: Arc<Web>) -> Self {
        Self { seen: web.files.clone(), web, tried: None }
    }

    /// Reads the files if they changed, but not while they are being written: they have to be the same twice. The first
    /// look reads them in any case, and shows whether that is still possible.
    fn look(&mut self) {
        let now: Vec<_> = self.seen.iter().map(|version| Version::of(version.file.clone())).collect();
        let rests = self.tried.is_none() || self.seen == now;
        if !rests || self.tried.as_ref() == Some(&now) {
            self.seen = now;
            return;
        }
        let (files, result) = self.reload();
        match (result, &self.tried) {
            (Ok(()), None) => {}
            (Ok(()), Some(_)) => info!("the web configuration was read again"),
            (Err(error), None) => warn!("changes of the web configuration need a restart: {error:#}"),
            (Err(error), Some(_)) => warn!("the web configuration stays as it was: {error:#}"),
        }
        self.seen.clone_from(&files);
        self.tried = Some(files);
    }

    /// Uses what the files say now, if that is possible; returns which files it came to.
    fn reload(&self) -> (Vec<Version>, Result<()>) {
        let mut reader = Reader::default();
        let settings = Settings::read(&self.web.files[0].file, &mut reader);
        (reader.files, settings.and_then(|settings| self.web.replace(settings)))
    }
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

    /// A configuration with this header, in a directory of its own.
    fn opened(value: &str) -> (TempDir, PathBuf, Arc<Web>) {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("web.yml");
        fs::write(&file, headers(value)).unwrap();
        let web = Arc::new(Web::open(Some(&file)).unwrap());
        (directory, file, web)
    }

    fn used(web: &Web) -> String {
        web.current().headers["X-XSS-Protection"].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_change_is_taken_once_the_file_rests_and_what_is_wrong_changes_nothing() {
        let (directory, file, web) = opened("first");
        let write = |text: &str| fs::write(&file, text).unwrap();
        let replace = |text: &str| {
            let other = directory.path().join("new.yml");
            fs::write(&other, text).unwrap();
            fs::rename(other, &file).unwrap();
        };
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
    fn a_file_that_is_named_before_it_is_there_is_waited_for() {
        let directory = TempDir::new().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        let pair = rcgen::generate_simple_self_signed([String::from("server.example")]).unwrap();
        let configuration = |certificate: &str| {
            let tls = format!("tls_server_config: {{cert_file: {certificate}, key_file: server.key}}");
            format!("{tls}\n{}", headers(certificate))
        };
        write("server.key", &pair.signing_key.serialize_pem());
        write("first.pem", &pair.cert.pem());
        write("web.yml", &configuration("first.pem"));
        let web = Arc::new(Web::open(Some(&directory.path().join("web.yml"))).unwrap());
        let mut follower = Follower::new(Arc::clone(&web));
        let mut look = || (0..3).for_each(|_| follower.look());
        write("web.yml", &configuration("second.pem"));
        look();
        assert_eq!(used(&web), "first.pem");
        write("second.pem", &pair.cert.pem());
        look();
        assert_eq!(used(&web), "second.pem");
        let read = web.current();
        look();
        assert!(Arc::ptr_eq(&read, &web.current()), "nothing changed, and it was read again");
    }

    #[test]
    fn users_are_known_again_unless_they_changed() {
        let (_directory, file, web) = opened("first");
        let mut follower = Follower::new(Arc::clone(&web));
        let mut users_after = |text: &str| {
            fs::write(&file, text).unwrap();
            (0..2).for_each(|_| follower.look());
            Arc::clone(&web.current().users)
        };
        let first = users_after(&headers("second"));
        let second = users_after(&headers("third"));
        assert!(Arc::ptr_eq(&first, &second));
        let third = users_after(&headers("third").replace("anna", "bert"));
        assert!(!Arc::ptr_eq(&second, &third));
    }

    #[test]
    fn what_changed_while_the_daemon_started_is_taken_at_the_first_look() {
        let (_directory, file, web) = opened("before");
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
        let files = vec![Version::of(PathBuf::from("/web.yml"))];
        assert!(Web { files, ..none }.directories().is_empty());
    }
}
