"""The amount of random testing: little by default, much with FASTCNN_TEST_PROFILE=full."""

import os

FULL = os.environ.get("FASTCNN_TEST_PROFILE") == "full"
