//! The program: see `cli` for its commands.

fn main() -> std::process::ExitCode {
    kinesome::cli::main()
}
