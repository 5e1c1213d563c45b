//! Generates the clients from the descriptor image that `make gen` wrote, without protoc.
use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const IMAGE: &str = "../../gen/venue.binpb";
    println!("cargo:rerun-if-changed={IMAGE}");
    let mut image = prost_types::FileDescriptorSet::decode(std::fs::read(IMAGE)?.as_slice())?;
    // What servers say to each other is no client's, and comments with code in them would be taken for tests.
    image.file.retain(|file| !file.name().starts_with("venue/engine/"));
    tonic_prost_build::configure()
        .build_server(false)
        .disable_comments(["."])
        .include_file("venue.rs")
        .compile_fds(image)?;
    Ok(())
}
