//! The program from outside: the real binary, real sockets, real files. One binary, so that it is linked once.

#[cfg(test)]
mod days;
#[cfg(test)]
mod line;
#[cfg(test)]
mod port;
#[cfg(test)]
mod ranges;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod support;
#[cfg(test)]
mod takeover;
#[cfg(test)]
mod terraform;
#[cfg(test)]
mod yandex;
