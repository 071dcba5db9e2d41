"""R2 as boto3 sees it. Reads AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION. Ends with 0 if every
answer is as it should be."""

import datetime
import hashlib
import io
import os
import urllib.error
import urllib.parse
import urllib.request

import boto3
import botocore
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

MIB = 1024 * 1024
BUCKET = "boto"
REGION = os.environ["AWS_REGION"]


def client(**more):
    return boto3.client("s3", region_name=REGION, config=Config(retries={"max_attempts": 1}, **more))


s3 = client()


def refused(call, code, status):
    """Asserts that a call is refused with this code and status."""
    try:
        call()
    except botocore.exceptions.ClientError as error:
        found = (error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"])
        assert found == (code, status), found
        return
    raise AssertionError(f"nothing was refused, but {code} was expected")


def buckets():
    s3.create_bucket(Bucket=BUCKET)
    refused(lambda: s3.create_bucket(Bucket=BUCKET), "BucketAlreadyOwnedByYou", 409)
    refused(lambda: s3.create_bucket(Bucket="no.dots.here"), "InvalidBucketName", 400)
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == [BUCKET]
    s3.head_bucket(Bucket=BUCKET)
    refused(lambda: s3.head_bucket(Bucket="missing"), "404", 404)
    assert s3.get_bucket_location(Bucket=BUCKET)["LocationConstraint"] == "auto"
    refused(lambda: s3.get_bucket_encryption(Bucket=BUCKET), "ServerSideEncryptionConfigurationNotFoundError", 404)


def objects():
    body = b"hello \x00 world"
    etag = f'"{hashlib.md5(body).hexdigest()}"'
    expires = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    put = s3.put_object(
        Bucket=BUCKET,
        Key="greeting",
        Body=body,
        ContentType="text/plain",
        ContentDisposition='attachment; filename="a"',
        ContentLanguage="en",
        CacheControl="no-cache",
        Expires=expires,
        Metadata={"colour": "blue"},
    )
    assert put["ETag"] == etag, put
    got = s3.get_object(Bucket=BUCKET, Key="greeting")
    assert got["Body"].read() == body
    for name, value in {
        "ETag": etag,
        "ContentType": "text/plain",
        "ContentLanguage": "en",
        "CacheControl": "no-cache",
        "ContentDisposition": 'attachment; filename="a"',
        "Metadata": {"colour": "blue"},
        "ContentLength": len(body),
        "AcceptRanges": "bytes",
    }.items():
        assert got[name] == value, (name, got[name])
    assert got["ExpiresString"] == "Wed, 02 Jan 2030 03:04:05 GMT", got["ExpiresString"]
    head = s3.head_object(Bucket=BUCKET, Key="greeting")
    assert (head["ETag"], head["ContentLength"]) == (etag, len(body))
    refused(lambda: s3.get_object(Bucket=BUCKET, Key="missing"), "NoSuchKey", 404)
    refused(lambda: s3.head_object(Bucket=BUCKET, Key="missing"), "404", 404)
    refused(lambda: s3.get_object(Bucket="missing", Key="greeting"), "NoSuchBucket", 404)

    part = s3.get_object(Bucket=BUCKET, Key="greeting", Range="bytes=1-3")
    assert (part["Body"].read(), part["ContentRange"]) == (b"ell", f"bytes 1-3/{len(body)}")
    assert part["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert s3.get_object(Bucket=BUCKET, Key="greeting", Range="bytes=-5")["Body"].read() == b"world"
    refused(lambda: s3.get_object(Bucket=BUCKET, Key="greeting", Range="bytes=99-"), "InvalidRange", 416)
    overridden = s3.get_object(Bucket=BUCKET, Key="greeting", ResponseContentType="image/png")
    assert overridden["ContentType"] == "image/png"

    refused(lambda: s3.get_object(Bucket=BUCKET, Key="greeting", IfNoneMatch=etag), "304", 304)
    refused(lambda: s3.get_object(Bucket=BUCKET, Key="greeting", IfMatch='"other"'), "PreconditionFailed", 412)
    later = head["LastModified"] + datetime.timedelta(hours=1)
    refused(lambda: s3.get_object(Bucket=BUCKET, Key="greeting", IfModifiedSince=later), "304", 304)
    assert s3.get_object(Bucket=BUCKET, Key="greeting", IfUnmodifiedSince=head["LastModified"])
    create = lambda: s3.put_object(Bucket=BUCKET, Key="greeting", Body=b"x", IfNoneMatch="*")
    refused(create, "PreconditionFailed", 412)
    refused(lambda: s3.put_object(Bucket=BUCKET, Key="greeting", Body=b"x", Tagging="a=b"), "NotImplemented", 501)
    refused(lambda: s3.get_object_tagging(Bucket=BUCKET, Key="greeting"), "NotImplemented", 501)
    refused(lambda: s3.get_bucket_acl(Bucket=BUCKET), "NotImplemented", 501)
    refused(lambda: s3.put_object(Bucket=BUCKET, Key="k" * 1025, Body=b"x"), "KeyTooLongError", 400)

    wrong = "1B2M2Y8AsgTpgAmY7PhCfg=="
    refused(lambda: s3.put_object(Bucket=BUCKET, Key="wrong", Body=b"x", ContentMD5=wrong), "BadDigest", 400)
    for algorithm in ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]:
        try:
            answer = s3.put_object(Bucket=BUCKET, Key="summed", Body=b"x", ChecksumAlgorithm=algorithm)
        except botocore.exceptions.MissingDependencyException:
            continue
        assert answer[f"Checksum{algorithm}"], answer
        stream = io.BytesIO(b"y" * 3 * MIB)
        s3.put_object(Bucket=BUCKET, Key="summed", Body=stream, ChecksumAlgorithm=algorithm)
    refused(
        lambda: s3.put_object(Bucket=BUCKET, Key="wrong", Body=b"x", ChecksumSHA256="A" * 43 + "="), "BadDigest", 400
    )
    refused(lambda: s3.head_object(Bucket=BUCKET, Key="wrong"), "404", 404)


def odd_keys():
    keys = ["..", "../up", "a//b", "/lead", "trail/", "ü/日本", "a b+c%20&?=", "k" * 1024, "\u0001bell", "quote\"'<>"]
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=f"odd/{key}"[:1024], Body=key.encode())
    for key in keys:
        name = f"odd/{key}"[:1024]
        assert s3.get_object(Bucket=BUCKET, Key=name)["Body"].read() == key.encode(), key
    listed = [entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET, Prefix="odd/")["Contents"]]
    assert listed == sorted((f"odd/{key}"[:1024] for key in keys), key=str.encode), listed
    # No XML can say this one; only its address can.
    bell = "odd/\u0001bell"
    s3.delete_object(Bucket=BUCKET, Key=bell)
    answer = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in listed if key != bell]})
    assert len(answer["Deleted"]) == len(keys) - 1, answer
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET, Prefix="odd/")


def lists():
    names = [f"list/{folder}/{number}" for folder in "abc" for number in range(5)] + ["list/file"]
    for name in names:
        s3.put_object(Bucket=BUCKET, Key=name, Body=b"")
    for operation in ["list_objects", "list_objects_v2"]:
        pages = s3.get_paginator(operation).paginate(Bucket=BUCKET, Prefix="list/", PaginationConfig={"PageSize": 4})
        found = [entry["Key"] for page in pages for entry in page["Contents"]]
        assert found == sorted(names), (operation, found)
        pages = s3.get_paginator(operation).paginate(
            Bucket=BUCKET, Prefix="list/", Delimiter="/", PaginationConfig={"PageSize": 2}
        )
        files, folders = [], []
        for page in pages:
            files += [entry["Key"] for entry in page.get("Contents", [])]
            folders += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
        assert (files, folders) == (["list/file"], ["list/a/", "list/b/", "list/c/"]), (operation, files, folders)
    after = s3.list_objects_v2(Bucket=BUCKET, Prefix="list/", StartAfter="list/c/3")
    assert [entry["Key"] for entry in after["Contents"]] == ["list/c/4", "list/file"]
    assert s3.list_objects_v2(Bucket=BUCKET, MaxKeys=0)["KeyCount"] == 0


def copies():
    s3.put_object(Bucket=BUCKET, Key="copy/from", Body=b"source", ContentType="text/a", Metadata={"a": "1"})
    s3.copy_object(Bucket=BUCKET, Key="copy/to ü", CopySource={"Bucket": BUCKET, "Key": "copy/from"})
    kept = s3.get_object(Bucket=BUCKET, Key="copy/to ü")
    assert (kept["Body"].read(), kept["ContentType"], kept["Metadata"]) == (b"source", "text/a", {"a": "1"})
    s3.copy_object(
        Bucket=BUCKET,
        Key="copy/to ü",
        CopySource={"Bucket": BUCKET, "Key": "copy/to ü"},
        MetadataDirective="REPLACE",
        ContentType="text/b",
    )
    replaced = s3.head_object(Bucket=BUCKET, Key="copy/to ü")
    assert (replaced["ContentType"], replaced["Metadata"]) == ("text/b", {})
    itself = lambda: s3.copy_object(Bucket=BUCKET, Key="copy/from", CopySource=f"{BUCKET}/copy/from")
    refused(itself, "InvalidRequest", 400)
    unmet = lambda: s3.copy_object(
        Bucket=BUCKET, Key="copy/x", CopySource=f"{BUCKET}/copy/from", CopySourceIfMatch='"no"'
    )
    refused(unmet, "PreconditionFailed", 412)


def multipart():
    body = os.urandom(13 * MIB)
    s3.upload_fileobj(
        io.BytesIO(body), BUCKET, "large", Config=TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    )
    head = s3.head_object(Bucket=BUCKET, Key="large")
    assert head["ETag"].endswith('-3"') and head["ContentLength"] == len(body), head
    into = io.BytesIO()
    s3.download_fileobj(BUCKET, "large", into, Config=TransferConfig(multipart_threshold=MIB, multipart_chunksize=MIB))
    assert into.getvalue() == body

    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="parts", ContentType="text/x")["UploadId"]
    on = {"Bucket": BUCKET, "Key": "parts", "UploadId": upload}
    first = s3.upload_part(**on, PartNumber=1, Body=body[: 5 * MIB])["ETag"]
    source = {"CopySource": f"{BUCKET}/large", "CopySourceRange": f"bytes={5 * MIB}-{6 * MIB - 1}"}
    second = s3.upload_part_copy(**on, PartNumber=2, **source)["CopyPartResult"]["ETag"]
    listed = s3.list_parts(**on, MaxParts=1)
    assert listed["IsTruncated"] and listed["NextPartNumberMarker"] == 1, listed
    listed = s3.list_parts(**on)["Parts"]
    assert [(part["PartNumber"], part["Size"]) for part in listed] == [(1, 5 * MIB), (2, MIB)], listed
    other = s3.create_multipart_upload(Bucket=BUCKET, Key="folder/other")["UploadId"]
    uploads = s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    assert [(one["Key"], one["UploadId"]) for one in uploads] == [("folder/other", other), ("parts", upload)], uploads
    page = s3.list_multipart_uploads(Bucket=BUCKET, MaxUploads=1)
    assert page["IsTruncated"] and page["NextKeyMarker"] == "folder/other", page
    rest = s3.list_multipart_uploads(
        Bucket=BUCKET, KeyMarker=page["NextKeyMarker"], UploadIdMarker=page["NextUploadIdMarker"]
    )
    assert [one["UploadId"] for one in rest["Uploads"]] == [upload]
    folded = s3.list_multipart_uploads(Bucket=BUCKET, Delimiter="/")
    assert [one["Prefix"] for one in folded["CommonPrefixes"]] == ["folder/"], folded
    s3.abort_multipart_upload(Bucket=BUCKET, Key="folder/other", UploadId=other)
    bad = [{"PartNumber": 1, "ETag": '"00"'}]
    refused(lambda: s3.complete_multipart_upload(**on, MultipartUpload={"Parts": bad}), "InvalidPart", 400)
    swapped = [{"PartNumber": 2, "ETag": second}, {"PartNumber": 1, "ETag": first}]
    refused(lambda: s3.complete_multipart_upload(**on, MultipartUpload={"Parts": swapped}), "InvalidPartOrder", 400)
    parts = [{"PartNumber": 1, "ETag": first}, {"PartNumber": 2, "ETag": second}]
    s3.complete_multipart_upload(**on, MultipartUpload={"Parts": parts})
    got = s3.get_object(Bucket=BUCKET, Key="parts")
    assert (got["Body"].read(), got["ContentType"]) == (body[: 6 * MIB], "text/x")
    refused(lambda: s3.list_parts(**on), "NoSuchUpload", 404)


def customer_keys():
    secret = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"k" * 32}
    s3.put_object(Bucket=BUCKET, Key="secret", Body=b"secret", **secret)
    assert s3.get_object(Bucket=BUCKET, Key="secret", **secret)["Body"].read() == b"secret"
    refused(lambda: s3.get_object(Bucket=BUCKET, Key="secret"), "AccessDenied", 403)
    other = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"o" * 32}
    refused(lambda: s3.get_object(Bucket=BUCKET, Key="secret", **other), "AccessDenied", 403)


def ask_all(url, method="GET", data=None, headers={}):
    """Status, body and headers of the answer to a request that no SDK makes."""
    request = urllib.request.Request(url, method=method, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.headers.items()}
    except urllib.error.HTTPError as error:
        return error.code, error.read(), {name.lower(): value for name, value in error.headers.items()}


def ask(*arguments, **more):
    return ask_all(*arguments, **more)[:2]


def presigned():
    put = s3.generate_presigned_url("put_object", {"Bucket": BUCKET, "Key": "signed", "ContentType": "text/plain"})
    assert ask(put, "PUT", b"by a browser", {"content-type": "text/plain"})[0] == 200
    assert ask(put, "PUT", b"as another type", {"content-type": "text/html"})[0] == 403
    get = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "signed"})
    assert ask(get) == (200, b"by a browser")
    assert ask(get, "DELETE")[0] == 403
    assert ask(get.replace("signed?", "parts?"))[0] == 403
    assert ask(get[:-1] + ("0" if get[-1] != "0" else "1"))[0] == 403
    week = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "signed"}, ExpiresIn=7 * 86400)
    assert ask(week)[0] == 200
    longer = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "signed"}, ExpiresIn=7 * 86400 + 1)
    status, text = ask(longer)
    assert status == 400 and b"AuthorizationQueryParametersError" in text, (status, text)
    short = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "signed"}, ExpiresIn=0)
    status, text = ask(short)
    assert status == 403 and b"expired" in text, (status, text)
    assert ask(get.split("?")[0])[0] == 403, "nobody reads without a signature"
    port = os.environ["AWS_ENDPOINT_URL"].rsplit(":", 1)[1]
    for host in ["localhost", "s3.localhost"]:
        named = boto3.client(
            "s3",
            region_name=REGION,
            endpoint_url=f"http://{host}:{port}",
            config=Config(s3={"addressing_style": "virtual"}),
        )
        address = urllib.parse.urlsplit(named.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "signed"}))
        assert address.netloc == f"{BUCKET}.{host}:{port}", address
        # Not every resolver knows names below localhost.
        here = address._replace(netloc=f"127.0.0.1:{port}").geturl()
        assert ask(here, headers={"host": address.netloc}) == (200, b"by a browser"), host


def rules():
    refused(lambda: s3.get_bucket_cors(Bucket=BUCKET), "NoSuchCORSConfiguration", 404)
    rule = {
        "AllowedMethods": ["GET", "PUT"],
        "AllowedOrigins": ["https://app.example"],
        "AllowedHeaders": ["content-type"],
        "ExposeHeaders": ["ETag"],
        "MaxAgeSeconds": 60,
    }
    s3.put_bucket_cors(Bucket=BUCKET, CORSConfiguration={"CORSRules": [rule]})
    assert s3.get_bucket_cors(Bucket=BUCKET)["CORSRules"] == [rule]
    put = s3.generate_presigned_url("put_object", {"Bucket": BUCKET, "Key": "page"})
    origin = {"origin": "https://app.example"}
    preflight = {**origin, "access-control-request-method": "PUT", "access-control-request-headers": "content-type"}
    status, _, headers = ask_all(put, "OPTIONS", headers=preflight)
    assert (status, headers["access-control-allow-origin"]) == (204, "https://app.example"), (status, headers)
    status, _, headers = ask_all(put, "PUT", b"by a page", origin)
    assert (status, headers["access-control-expose-headers"]) == (200, "ETag"), (status, headers)
    status, _, headers = ask_all(put, "OPTIONS", headers={**preflight, "origin": "https://other.example"})
    assert status == 403 and "access-control-allow-origin" not in headers, (status, headers)
    s3.delete_bucket_cors(Bucket=BUCKET)

    default = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert default[0]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}, default
    rule = {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 3}}
    move = {**rule, "ID": "old", "Expiration": {"Days": 30}, "Transitions": [{"Days": 9, "StorageClass": "STANDARD_IA"}]}
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [rule, move]})
    assert s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"] == [rule, move]
    tagged = {**rule, "Filter": {"Tag": {"Key": "a", "Value": "b"}}}
    write = lambda: s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [tagged]})
    refused(write, "NotImplemented", 501)
    s3.delete_bucket_lifecycle(Bucket=BUCKET)


def strangers():
    stranger = lambda **keys: boto3.client("s3", region_name=REGION, config=Config(retries={"max_attempts": 1}), **keys)
    wrong = stranger(aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"], aws_secret_access_key="wrong")
    refused(wrong.list_buckets, "SignatureDoesNotMatch", 403)
    nobody = stranger(aws_access_key_id="nobody", aws_secret_access_key="wrong")
    refused(nobody.list_buckets, "InvalidAccessKeyId", 403)
    old = client(signature_version="s3")
    refused(lambda: old.list_objects(Bucket=BUCKET), "InvalidRequest", 400)


def ends():
    refused(lambda: s3.delete_bucket(Bucket=BUCKET), "BucketNotEmpty", 409)
    s3.delete_object(Bucket=BUCKET, Key="was never there")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        keys = [{"Key": entry["Key"]} for entry in page["Contents"]]
        assert "Errors" not in s3.delete_objects(Bucket=BUCKET, Delete={"Objects": keys, "Quiet": True})
    s3.delete_bucket(Bucket=BUCKET)
    assert s3.list_buckets()["Buckets"] == []


for step in [buckets, objects, odd_keys, lists, copies, multipart, customer_keys, presigned, rules, strangers, ends]:
    step()
print("every answer is as it should be")
