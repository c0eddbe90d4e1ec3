//! The sandbox in a process of its own, for the benches that run the program against it.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// It ends with this.
pub(crate) struct Sandbox {
    process: Child,
    /// The settings that it prints, but where the files go.
    pub(crate) settings: String,
}

impl Sandbox {
    /// Starts one with so many records, which it keeps.
    pub(crate) fn start(records: usize, flags: &[&str]) -> Result<Self, Box<dyn Error>> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_trailkeeper"))
            .args(["sandbox", "--still", "-q", "--listen", "127.0.0.1:0"])
            .args(["--records", &records.to_string()])
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = process.stdout.take().ok_or("no stdout")?;
        let mut settings = String::new();
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            if line.starts_with("# and ") {
                break;
            }
            if !line.contains("_LOG_CATALOG_LOCATION=") {
                settings.push_str(&line);
                settings.push('\n');
            }
        }
        Ok(Self { process, settings })
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Whether it had ended by itself does not matter.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
