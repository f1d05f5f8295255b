//! The user that root becomes.

use anyhow::{Context as _, Result};
use nix::{
    sys::prctl,
    unistd::{Gid, Uid, User, setgroups, setresgid, setresuid},
};

/// Who has this name where the machine has no list of users, as in a small container (`DEFAULT_OVERFLOWUID`,
/// `include/linux/highuid.h`).
const NOBODY: (&str, u32) = ("nobody", 65_534);

/// Becomes the user of this name or number where this process is root, on all threads. The permitted capabilities
/// survive that if `keep_capabilities`.
pub(super) fn become_user(user: &str, keep_capabilities: bool) -> Result<()> {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    let (uid, gid) = resolve(user)?;
    if uid.is_root() {
        return Ok(());
    }
    let change = || {
        prctl::set_keepcaps(keep_capabilities)?;
        setgroups(&[gid])?;
        setresgid(gid, gid, gid)?;
        setresuid(uid, uid, uid)
    };
    change().with_context(|| {
        format!("cannot become the user {user}: grant CAP_SETUID and CAP_SETGID, or start as that user")
    })
}

fn resolve(user: &str) -> Result<(Uid, Gid)> {
    let number = user.parse().ok().or_else(|| (user == NOBODY.0).then_some(NOBODY.1));
    let found = match user.parse() {
        Ok(number) => User::from_uid(Uid::from_raw(number)),
        Err(_) => User::from_name(user),
    };
    if let Ok(Some(found)) = found {
        return Ok((found.uid, found.gid));
    }
    let number: u32 = number
        .with_context(|| format!("there is no user {user}: name another one, or a number, with --user"))?;
    Ok((Uid::from_raw(number), Gid::from_raw(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_or_number_and_nobody_everywhere() {
        let numbers = |user| resolve(user).map(|(uid, gid)| (uid.as_raw(), gid.as_raw()));
        assert_eq!(numbers("root").unwrap(), (0, 0));
        assert_eq!(numbers("0").unwrap(), (0, 0));
        assert_eq!(numbers("nobody").unwrap().0, 65_534);
        // Nobody's number either, most likely.
        assert_eq!(numbers("3999999999").unwrap(), (3_999_999_999, 3_999_999_999));
        let sentence = resolve("no such user").unwrap_err().to_string();
        assert!(sentence.contains("no such user") && sentence.contains("--user"), "{sentence}");
    }
}
