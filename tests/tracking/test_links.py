from raydistill.tracking.links import experiment_url


def test_addresses_of_the_pages_hold_no_password():
    assert experiment_url("http://ann:pw@host:5000", "3").startswith("http://host:5000/#/")
