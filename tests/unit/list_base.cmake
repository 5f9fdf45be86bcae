ql_unit_test(test_base)
ql_unit_test(test_options)
ql_unit_test(test_file)
