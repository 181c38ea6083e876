//! One target for libFuzzer, chosen by the name of the binary: `Cargo.toml` has one for each.
#![no_main]

#[path = "../vectors/case.rs"]
#[expect(dead_code, reason = "vectors are read here and made elsewhere")]
mod case;
#[expect(dead_code, reason = "main.rs writes the inputs that these begin with")]
mod targets;
#[path = "../vectors/verify.rs"]
#[allow(dead_code, unused_imports, reason = "what makes vectors needs more")]
mod verify;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    (targets::named(env!("CARGO_BIN_NAME")).run)(bytes);
});
