"""PostgreSQL, Valkey and S3 from wheels, and the whole system on top: what `recordings up` and the tests run on."""
