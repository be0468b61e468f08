"""An object store of a test's own: moto's S3 server on loopback, and its bucket."""

import contextlib
import logging
import urllib.request

import boto3
from moto.server import ThreadedMotoServer

KEYS = {"AWS_ACCESS_KEY_ID": "planted-id", "AWS_SECRET_ACCESS_KEY": "planted-key"}


@contextlib.contextmanager
def object_store(bucket="sweeps"):
    """Yields the address of a folder in the bucket, as `--storage` takes it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    urllib.request.urlopen(
        f"{endpoint}/moto-api/reset", data=b""
    ).close()  # one for all in a process
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1",
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip
    client.create_bucket(Bucket=bucket)
    try:
        yield f"s3://{bucket}/mine?endpoint_override={endpoint}&region=us-east-1"
    finally:
        server.stop()
