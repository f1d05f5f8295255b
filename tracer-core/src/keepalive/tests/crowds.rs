//! More servers than there are profiles for.

use std::net::SocketAddr;

use super::*;

/// Places for profiles: few, so that a crowd is soon one.
const PLACES: usize = 20;

impl History {
    /// The connections that follow are with this server.
    fn with(mut self, server: ([u8; 4], u16)) -> Self {
        self.flow.remote = server.into();
        self
    }

    /// Servers that each show themselves once, 10 ms apart, by a close of this kind.
    fn crowd(mut self, servers: u16, rest: Rest) -> Self {
        for port in 1..=servers {
            self = self.with(([10, 9, 9, 9], port)).pause(0.010);
            self.closed(&Close { rest, ..self.a_close(Side::Remote) });
        }
        self.with(SERVER)
    }

    fn known(&self) -> bool {
        self.profiles.know(self.role, &self.flow)
    }
}

#[test]
fn the_table_is_bounded_and_the_quietest_server_makes_room() {
    let mut history = History::new();
    history.profiles = ServerProfiles::new(2);
    for port in [1, 2, 1, 3] {
        history.flow.remote = SocketAddr::from(([10, 0, 0, 5], port));
        history = history.server(12, 5.0, 0.0);
    }
    let mut servers: Vec<_> = history.profiles.servers(10).into_iter().map(|server| server.server).collect();
    servers.sort();
    assert_eq!(servers, ["10.0.0.5:1", "10.0.0.5:3"]);
    assert_eq!(history.profiles.servers(1).len(), 1);
}

#[test]
fn a_crowd_of_servers_drives_out_none_that_was_there_for_longer() {
    let idle = Rest::Idle(Duration::from_secs(1));
    for crowd in [idle, Rest::BehindResponse, Rest::None] {
        let mut history = History::new();
        history.profiles = ServerProfiles::new(PLACES);
        // A minute of closes, then half a minute of silence, in which the crowd comes.
        history = history.server(400, 5.0, 0.0).pause(25.0).crowd(500, crowd);
        assert!(history.timeout().is_some(), "{crowd:?}");
        assert!(history.profiles.servers(usize::MAX).len() <= PLACES);
    }
}

#[test]
fn a_server_that_comes_behind_a_crowd_has_a_profile_at_once() {
    let idle = Rest::Idle(Duration::from_secs(1));
    for crowd in [idle, Rest::BehindResponse, Rest::None] {
        let mut history = History::new();
        history.profiles = ServerProfiles::new(PLACES);
        history = history.crowd(500, crowd);
        assert!(!history.known());
        let answered = Close { rest: Rest::None, ..history.a_close(Side::Local) };
        history.closed(&answered);
        assert!(history.known(), "{crowd:?}");
        history = history.server(12, 5.0, 0.0);
        assert!(history.timeout().is_some(), "{crowd:?}");
    }
}

#[test]
fn servers_that_are_all_there_to_stay_leave_no_room_for_newcomers_until_one_has_gone() {
    let mut history = History::new();
    history.profiles = ServerProfiles::new(2);
    for _ in 0..2 {
        for port in [1, 2] {
            history = history.with(([10, 0, 0, 5], port)).server(12, 5.0, 0.0).pause(10.0);
        }
    }
    // The first was heard of for 25 s, and has been silent for 22 s.
    for (silence, known) in [(0.0, false), (1.0, false), (10.0, true)] {
        history = history.pause(silence).with(SERVER).server(1, 5.0, 0.0);
        assert_eq!(history.known(), known, "after {silence} s");
    }
}
