//! Commands, configuration, lifecycle and the composition root
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
