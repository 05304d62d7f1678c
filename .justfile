# What is done to this repository, a name each. Without `just`, copy the lines: each stands by itself in a
# shell here. CI runs `.ci/run`, which takes nothing from this file.

# Names the recipes.
list:
    @just --list --unsorted

# What a compiler can say: format and lints.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# All tests, or those that arguments of cargo's choose: `just test -p chaosrun-vmm`.
test *which='--workspace':
    cargo test --release {{ which }}

# What only the sources say: sizes, words, arrows, what nobody uses.
tidy:
    cargo test --release --package chaosrun --test tidy

# Everything that has to pass before a change is merged.
ci:
    .ci/run

# Speed of the engines and of the checkers; compare before and after on a machine that does nothing else.
bench:
    cargo bench --bench engines --bench engine --bench property --bench snapshot

# Throws random texts at the scenario parsers until one breaks them: `kdl` or `toml`. Wants cargo-fuzz.
fuzz language='kdl':
    cd runner && cargo +nightly fuzz run {{ language }}

# Looks for programs that the compiler gets wrong, for so many seconds of processor time.
hunt seconds='7200':
    CHAOSRUN_HUNT_SECONDS={{ seconds }} cargo test --release --package chaosrun-x86 --test changing_code -- --ignored --nocapture

# Writes anew what is generated from the sources: schemas, and the reference in docs/SCENARIOS.md.
docs:
    cargo run --release --package chaosrun -- schema --write schemas
    UPDATE_DOCS=1 cargo test --release --package chaosrun-language --test scenario reference

# Writes anew the chains that all hosts have to agree on. The commit says why they are others.
golden:
    CHAOSRUN_WRITE_GOLDEN=1 cargo test --release --package chaosrun-x86 --test golden
