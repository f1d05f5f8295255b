//! When no more files can be opened: sockets, maps and programs are files too.

use std::io;

use nix::libc::{EMFILE, ENFILE};

/// What to do about it.
pub(crate) const OUT_OF_FILES: &str =
    "no more files can be opened: raise the limit (ulimit -n, in systemd LimitNOFILE=)";

/// Whether this is an error's cause.
pub(crate) fn is_out_of_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}

/// The error with a sentence that says what to do: `otherwise`, unless it is that.
pub(crate) fn explain(error: io::Error, otherwise: String) -> anyhow::Error {
    let sentence = if is_out_of_files(&error) { OUT_OF_FILES.to_owned() } else { otherwise };
    anyhow::Error::new(error).context(sentence)
}

#[cfg(test)]
mod tests {
    use nix::libc::EADDRINUSE;

    use super::*;

    #[test]
    fn only_where_no_file_can_be_opened_the_sentence_is_about_files() {
        for (number, sentence) in
            [(EMFILE, OUT_OF_FILES), (ENFILE, OUT_OF_FILES), (EADDRINUSE, "choose another")]
        {
            let error = explain(io::Error::from_raw_os_error(number), String::from("choose another"));
            assert_eq!(error.to_string(), sentence);
        }
    }
}
