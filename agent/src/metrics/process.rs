//! What the kernel says of our processes: `/proc/PID`.

use std::fs;

use model::metrics::Page;

use super::{CPU, FILES, MEMORY, Program};

/// Clock ticks a second in `/proc/PID/stat`: part of the kernel's interface on every platform we build for.
const TICKS: f64 = 100.0;
/// Bytes of a page on the platforms we build for.
const PAGE: f64 = 4096.0;

struct Numbers {
    cpu: f64,
    memory: f64,
    files: f64,
}

fn of(pid: u32) -> Option<Numbers> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; fields count from behind it.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<f64> = rest.split_whitespace().map(|f| f.parse().unwrap_or(0.0)).collect();
    let (user, system, pages) = (fields.get(11)?, fields.get(12)?, fields.get(21)?);
    let files = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    Some(Numbers { cpu: (user + system) / TICKS, memory: pages * PAGE, files: files as f64 })
}

/// Writes the processes' families; one that has just ended is left out.
pub(super) fn write(page: &mut Page, programs: &[(Program, u32)]) {
    let numbers: Vec<(&str, Numbers)> =
        programs.iter().filter_map(|(program, pid)| Some((program.name(), of(*pid)?))).collect();
    page.all(&CPU, numbers.iter().map(|(name, n)| (vec![*name], n.cpu)));
    page.all(&MEMORY, numbers.iter().map(|(name, n)| (vec![*name], n.memory)));
    page.all(&FILES, numbers.iter().map(|(name, n)| (vec![*name], n.files)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_open_files() {
        let own = of(std::process::id()).expect("this process");
        assert!(own.memory > 100_000.0 && own.files >= 3.0, "{} {}", own.memory, own.files);
        let mut page = Page::default();
        write(&mut page, &[(Program::Agent, std::process::id()), (Program::DataPlane, u32::MAX)]);
        let text = page.into_text();
        assert!(text.contains("swarmctl_process_open_fds{program=\"agent\"}"), "{text}");
        assert!(!text.contains("dataplane"), "{text}");
    }
}
