//! Requests, counted: by the clients, by a capture on each host, and by a tracer with `--requests`.

mod advice;
mod counts;
pub mod lines;
mod races;

pub use advice::{late_reuses_are_told, request_limit_is_found};
pub use counts::{all_count_the_same, without_room_the_rest_is_other, without_the_flag_nothing_is_counted};
pub use races::races_know_what_came_before;
