"""What schemathesis sends where the API asks for a picture: pictures."""

import schemathesis
from hypothesis import strategies as st

from tests.service.pictures import encoded, noise

PICTURES = [encoded(noise(0)), encoded(noise(1, (8, 8))), encoded(noise(2), "JPEG"), encoded(noise(3), "WEBP")]

schemathesis.openapi.format("binary", st.sampled_from(PICTURES))
