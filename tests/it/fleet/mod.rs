//! A fleet: members in processes of their own that share organizations over a broker, and everything that can happen to them.

mod archive;
mod crew;
mod ledger;
mod members;
mod obstacles;
mod paper;
mod passing;
mod samples;
mod stand_in;
mod storm;
mod trial;
