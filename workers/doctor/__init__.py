"""``recordings doctor``: a deployment looked at from outside, one file a concern.

Each file asks and judges; what it concludes from an answer is in functions that ask nothing. Nothing is changed but a
trial object in the bucket, which is removed again.
"""
