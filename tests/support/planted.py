"""Secrets of a made-up user: none of them may leave this machine."""

SECRETS = {
    "HF_TOKEN": "hf_planted0123456789abcdef",
    "AWS_SECRET_ACCESS_KEY": "planted/aws+secret0123456789",
    "RAY_AUTH_TOKEN": "planted0ray0token0123456789abcdef",
}
IN_ENVIRONMENT = {k: v for k, v in SECRETS.items() if k != "RAY_AUTH_TOKEN"}  # tests' Ray has none
PASSWORD = "planted-geheim-987"
