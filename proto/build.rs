//! Compiles the contracts without a system protoc.
use std::path::PathBuf;

use prost::Message as _;

const FILES: [&str; 9] =
    ["callcontrol", "directory", "events", "media", "outbox", "push", "signalling", "store", "types"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=sidetone");
    let paths: Vec<String> = FILES.iter().map(|name| format!("sidetone/{name}/v1/{name}.proto")).collect();
    let descriptors = protox::compile(&paths, ["."])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let encoded = descriptors.encode_to_vec();
    pbjson_build::Builder::new()
        .register_descriptors(&encoded)?
        .preserve_proto_field_names()
        .emit_fields()
        .build(&[".sidetone"])?;
    std::fs::write(out.join("descriptors.bin"), encoded)?;
    tonic_prost_build::configure()
        // Keys must not be shown; its own Debug is in the library.
        .skip_debug(["sidetone.types.v1.Crypto", "sidetone.types.v1.Ice"])
        .bytes(".sidetone.store.v1")
        .client_mod_attribute(".", "#[cfg(feature = \"grpc\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"grpc\")]")
        .compile_fds(descriptors)?;
    Ok(())
}
