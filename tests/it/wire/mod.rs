//! The contract on the wire: bytes go in through a real socket, and the bytes that come out on both
//! sides are looked at.

mod hops;
mod http2;
mod leaving;
mod memory;
mod repeating;
mod requests;
mod streams;
mod turns;
mod upstreams;

/// What an upstream says that has nothing special to say.
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
