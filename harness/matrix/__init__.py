"""The catalogue of causes, run: every scenario in a lab of its own, several side by side, held against its verdict.

`catalogue` finds the scenarios, `accounts` balances the ledger of one run, `trials` runs many in processes of their
own, `table` makes the confusion matrix of what came out. `variants` makes scenarios of scenarios, and `causes` the
page of all causes.
"""
