//! A stand-in for the daemon: the page's own files, and whatever the test wants the API to say.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, Result};
use tracer_lab::workspace;

/// Status, content type and body, by path.
type Answers = HashMap<String, (u16, &'static str, Vec<u8>)>;

/// A server on this host's loopback. It ends with the test.
pub(crate) struct StandIn {
    pub(crate) port: u16,
}

impl StandIn {
    /// Serves the page, these JSON answers of the API and this one of `/-/ready`, without the headers that would
    /// protect the page.
    pub(crate) fn serve(
        api: impl IntoIterator<Item = (&'static str, String)>,
        ready: (u16, &str),
    ) -> Result<Self> {
        let api =
            api.into_iter().map(|(path, json)| (path.to_owned(), (200, "application/json", json.into())));
        let mut answers: Answers = api.collect();
        answers.insert("/-/ready".into(), (ready.0, "text/plain", ready.1.into()));
        for entry in
            fs::read_dir(workspace::root().join("tracer/src/http/page")).context("there is no page")?
        {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text = fs::read(&path)?;
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("html") => answers.insert("/".into(), (200, "text/html", text)),
                Some("css") => answers.insert(format!("/{name}"), (200, "text/css", text)),
                _ => answers.insert(format!("/{name}"), (200, "text/javascript", text)),
            };
        }
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let answers = Arc::new(answers);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answers = Arc::clone(&answers);
                thread::spawn(move || answer(&stream, &answers));
            }
        });
        Ok(Self { port })
    }
}

fn answer(mut stream: &TcpStream, answers: &Answers) -> Option<()> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next()?.split([' ', '?']).nth(1)?.to_owned();
    lines.find(String::is_empty)?;
    let nothing = (404, "text/plain", Vec::new());
    let (status, content_type, body) = answers.get(&path).unwrap_or(&nothing);
    let head = format!(
        "HTTP/1.1 {status} \r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    stream.shutdown(Shutdown::Write).ok()
}
