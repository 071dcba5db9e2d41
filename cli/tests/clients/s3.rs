//! R2's S3 API as its clients use it: boto3, the AWS CLI, the JavaScript SDK and rclone, each with what `skerry env` prints.

use std::fs;

use testkit::{Clients, Project, Server, command, skip};

#[tokio::test]
async fn boto3_finds_s3() {
    let server = Server::start().await;
    server.run_python("s3_boto3.py").await;
    server.stop().await;
}

#[tokio::test]
async fn the_javascript_sdk_finds_s3() {
    let server = Server::start().await;
    server.run_node("s3-sdk.mjs").await;
    server.stop().await;
}

const LARGE_BYTES: usize = 20 * 1024 * 1024;

fn project() -> Project {
    let large: Vec<u8> = (0..LARGE_BYTES).map(|at| u8::try_from(at % 251).expect("a byte")).collect();
    Project::new().file("up/large.bin", large).file("up/text.txt", "hello").file("up/folder/ü.txt", "deep")
}

fn assert_same(project: &Project) {
    for name in ["large.bin", "text.txt", "folder/ü.txt"] {
        let [up, down] = ["up", "down"].map(|folder| fs::read(project.path().join(folder).join(name)));
        assert!(
            up.expect("read") == down.unwrap_or_else(|error| panic!("{name}: {error}")),
            "{name} differs"
        );
    }
}

#[tokio::test]
async fn the_aws_cli_finds_s3() {
    let Some(python) = Clients::find().python() else { return };
    let server = Server::start().await;
    let project = project();
    let aws = |words: &str| {
        let mut aws = command(&python);
        aws.args(["-m", "awscli"]).args(words.split_whitespace()).current_dir(project.path());
        aws
    };
    server.run(aws("s3 mb s3://aws")).await;
    server.run(aws("s3 sync up s3://aws/all --no-progress")).await;
    let listed = server.run(aws("s3 ls s3://aws/all/ --recursive")).await;
    assert!(listed.contains("20971520 all/large.bin") && listed.contains("all/folder/ü.txt"), "{listed}");
    server.run(aws("s3 cp s3://aws/all/text.txt s3://aws/copied.txt")).await;
    server.run(aws("s3 sync s3://aws/all down --no-progress")).await;
    assert_same(&project);
    let head = server.run(aws("s3api head-object --bucket aws --key copied.txt")).await;
    assert!(head.contains(r#""ContentType": "text/plain""#), "{head}");
    server.run(aws("s3 rm s3://aws --recursive")).await;
    server.run(aws("s3 rb s3://aws")).await;
    assert_eq!(server.run(aws("s3 ls")).await, "");
    server.stop().await;
}

#[tokio::test]
async fn rclone_finds_s3() {
    if command("rclone").arg("version").output().is_err() {
        return skip("rclone: none on this machine (Debian: apt-get install rclone)");
    }
    let server = Server::start().await;
    let project = project();
    let rclone = |words: &str| {
        let mut rclone = command("rclone");
        let settings =
            ["--s3-provider=Cloudflare", "--s3-env-auth", "--s3-chunk-size=5M", "--config=none.conf"];
        rclone.args(words.split_whitespace()).args(settings).current_dir(project.path());
        rclone.arg(format!("--s3-endpoint={}", server.environment()["AWS_ENDPOINT_URL"]));
        rclone
    };
    server.run(rclone("mkdir :s3:rclone")).await;
    server.run(rclone("sync up :s3:rclone/all --s3-upload-cutoff=8M")).await;
    server.run(rclone("check up :s3:rclone/all --download")).await;
    server.run(rclone("copy :s3:rclone/all down")).await;
    assert_same(&project);
    server.run(rclone("move :s3:rclone/all/text.txt :s3:rclone/moved")).await;
    let listed = server.run(rclone("lsf -R :s3:rclone")).await;
    assert!(listed.contains("moved/text.txt") && !listed.contains("all/text.txt"), "{listed}");
    server.run(rclone("purge :s3:rclone")).await;
    server.stop().await;
}
