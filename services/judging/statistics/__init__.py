"""Statistics of verdicts: pure functions of numpy arrays, without a database, a network or a model.

Every estimate is a function of the mean of one row per prompt, so one resampling engine
(`resampling.resampled_means`) gives all bootstrap intervals and a prompt judged twice, in both
orders, is still one observation.
"""
