ql_unit_test(test_reduce)
