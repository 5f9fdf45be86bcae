ql_unit_test(test_field)
ql_unit_test(test_model)
ql_unit_test(test_engine_ref)
ql_unit_test(test_train)
