//! The API address from outside: nobody gets past the gate without a token that may, and every answer is an envelope with
//! a ray.

mod gate;
mod graphql;
mod harness;
mod identity;
mod serving;
