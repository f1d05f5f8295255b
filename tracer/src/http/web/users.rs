//! Users and their passwords. A hash is slow by design: one is computed at a time, on a thread for that, and what was
//! right once is not computed again.

use std::{
    collections::BTreeMap,
    str::FromStr as _,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bcrypt::HashParts;
use hyper::header::{AUTHORIZATION, HeaderMap};
use ring::{hmac, rand::SystemRandom};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    task::spawn_blocking,
    time::sleep,
};

/// The costliest hash that is taken: about four seconds.
const MAX_COST: u32 = 16;

/// Requests that may wait for their password to be checked; one more is refused.
const MAX_WAITING: usize = 8;

/// After a wrong password the next check waits this many times as long as that took: guesses cost a fifth of one CPU.
const REST: u32 = 4;

/// What came of a request's user and password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Access {
    Granted,
    Denied,
    /// Too many passwords are being checked.
    Busy,
}

/// Who may ask; everybody where there is none.
pub(super) struct Users {
    hashes: BTreeMap<String, String>,
    key: hmac::Key,
    /// The password of each user that was right last, as a code under a key that nobody knows.
    right: Mutex<BTreeMap<String, hmac::Tag>>,
    places: Semaphore,
    turn: Arc<Semaphore>,
}

impl Users {
    pub(super) fn new(hashes: BTreeMap<String, String>) -> Result<Self> {
        for (user, hash) in &hashes {
            let parts = HashParts::from_str(hash);
            let parts = parts.with_context(|| format!("the password of {user} is no bcrypt hash"))?;
            let cost = parts.get_cost();
            ensure!(
                (4..=MAX_COST).contains(&cost),
                "the bcrypt hash of {user} has the cost {cost}: use 4 to {MAX_COST}"
            );
        }
        Ok(Self {
            hashes,
            key: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
                .ok()
                .context("the kernel gives no random numbers")?,
            right: Mutex::default(),
            places: Semaphore::new(MAX_WAITING),
            turn: Arc::new(Semaphore::new(1)),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Whether others have the same names and passwords.
    pub(super) fn have_passwords_of(&self, others: &Self) -> bool {
        self.hashes == others.hashes
    }

    /// Whether a request with these headers is let in.
    pub(super) async fn check(self: &Arc<Self>, headers: &HeaderMap) -> Access {
        if self.is_empty() {
            return Access::Granted;
        }
        let Some((user, password)) = credentials(headers) else { return Access::Denied };
        if self.was_right(&user, &password) {
            return Access::Granted;
        }
        let Ok(_place) = self.places.try_acquire() else { return Access::Busy };
        let Ok(turn) = Arc::clone(&self.turn).acquire_owned().await else { return Access::Busy };
        // It may have become so meanwhile.
        if self.was_right(&user, &password) {
            return Access::Granted;
        }
        let (answer, answered) = oneshot::channel();
        // A task of its own: whoever hangs up meanwhile does not get around the rest.
        tokio::spawn(Arc::clone(self).compute(user, password, turn, answer));
        if answered.await == Ok(true) { Access::Granted } else { Access::Denied }
    }

    async fn compute(
        self: Arc<Self>,
        user: String,
        password: Vec<u8>,
        turn: OwnedSemaphorePermit,
        answer: oneshot::Sender<bool>,
    ) {
        let began = Instant::now();
        // Somebody unknown takes as long as somebody known.
        let known = self.hashes.get(&user);
        let Some(hash) = known.or_else(|| self.hashes.values().next()).cloned() else { return };
        let verify = move || (bcrypt::verify(&password, &hash).unwrap_or(false), password);
        let Ok((same, password)) = spawn_blocking(verify).await else { return };
        let right = same && known.is_some();
        if right {
            let tag = hmac::sign(&self.key, &password);
            self.right.lock().unwrap_or_else(PoisonError::into_inner).insert(user, tag);
        }
        // Who asked may be gone.
        let _ = answer.send(right);
        if !right {
            sleep(began.elapsed() * REST).await;
        }
        drop(turn);
    }

    fn was_right(&self, user: &str, password: &[u8]) -> bool {
        let right = self.right.lock().unwrap_or_else(PoisonError::into_inner).get(user).copied();
        right.is_some_and(|tag| hmac::verify(&self.key, password, tag.as_ref()).is_ok())
    }
}

/// User and password of `Authorization: Basic` (RFC 7617).
fn credentials(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let colon = decoded.iter().position(|&byte| byte == b':')?;
    Some((String::from_utf8(decoded[..colon].to_vec()).ok()?, decoded[colon + 1..].to_vec()))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    /// Of the cheapest kind.
    fn users(list: &[(&str, &str)]) -> Arc<Users> {
        let hash =
            |(user, password): &(&str, &str)| (String::from(*user), bcrypt::hash(password, 4).unwrap());
        Arc::new(Users::new(list.iter().map(hash).collect()).unwrap())
    }

    fn basic(user: &str, password: &str) -> HeaderMap {
        authorization(&format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
    }

    fn authorization(value: &str) -> HeaderMap {
        [(AUTHORIZATION, HeaderValue::from_str(value).unwrap())].into_iter().collect()
    }

    #[tokio::test]
    async fn only_a_user_with_the_password_is_let_in_and_everybody_where_there_are_none() {
        let some = users(&[("anna", "pass:word"), ("bert", "")]);
        for (headers, access) in [
            (basic("anna", "pass:word"), Access::Granted),
            // The second time it is known.
            (basic("anna", "pass:word"), Access::Granted),
            (basic("bert", ""), Access::Granted),
            (basic("anna", "pass"), Access::Denied),
            (basic("anna", ""), Access::Denied),
            (basic("bert", "pass:word"), Access::Denied),
            (basic("carl", "pass:word"), Access::Denied),
            (basic("", ""), Access::Denied),
            (HeaderMap::new(), Access::Denied),
            (authorization("Basic"), Access::Denied),
            (authorization("Basic !"), Access::Denied),
            (authorization("Basic YW5uYQ=="), Access::Denied),
            (authorization("Bearer YW5uYTpwYXNzOndvcmQ="), Access::Denied),
            (authorization("basic YW5uYTpwYXNzOndvcmQ="), Access::Granted),
        ] {
            assert_eq!(some.check(&headers).await, access, "{headers:?}");
        }
        assert_eq!(users(&[]).check(&HeaderMap::new()).await, Access::Granted);
    }

    #[tokio::test]
    async fn guesses_wait_for_each_other_and_more_than_a_few_are_refused_but_who_was_right_goes_past() {
        let users = users(&[("anna", "password")]);
        let right = basic("anna", "password");
        assert_eq!(users.check(&right).await, Access::Granted);
        let guesses: Vec<_> = (0..50)
            .map(|guess| {
                let users = Arc::clone(&users);
                tokio::spawn(async move { users.check(&basic("anna", &guess.to_string())).await })
            })
            .collect();
        tokio::task::yield_now().await;
        assert_eq!(users.check(&right).await, Access::Granted);
        let mut found = Vec::new();
        for guess in guesses {
            found.push(guess.await.unwrap());
        }
        let count = |access| found.iter().filter(|&&found| found == access).count();
        assert_eq!((count(Access::Denied), count(Access::Busy)), (MAX_WAITING, 50 - MAX_WAITING));
    }

    #[tokio::test]
    async fn whoever_hangs_up_does_not_get_around_the_rest_after_a_wrong_password() {
        // Slow enough that it is not over yet when somebody looks.
        let hashes = [(String::from("anna"), bcrypt::hash("password", 10).unwrap())];
        let users = Arc::new(Users::new(hashes.into()).unwrap());
        let guess = tokio::spawn({
            let users = Arc::clone(&users);
            async move { users.check(&basic("anna", "guess")).await }
        });
        while users.turn.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        guess.abort();
        assert!(guess.await.unwrap_err().is_cancelled());
        assert_eq!(users.turn.available_permits(), 0, "its turn goes on");
    }

    #[test]
    fn a_hash_that_is_none_or_too_costly_is_refused_by_name() {
        let hash = bcrypt::hash("password", 4).unwrap();
        for (hash, sentence) in [
            (String::from("password"), "the password of anna is no bcrypt hash"),
            (hash.replace("$04$", "$31$"), "the bcrypt hash of anna has the cost 31: use 4 to 16"),
            (hash.replace("$04$", "$03$"), "the bcrypt hash of anna has the cost 3: use 4 to 16"),
        ] {
            let refused = Users::new([(String::from("anna"), hash)].into()).err().unwrap();
            assert_eq!(refused.to_string(), sentence);
        }
    }
}
