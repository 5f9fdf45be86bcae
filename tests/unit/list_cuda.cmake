if(TARGET quadloom_cuda_host)
    ql_unit_test(test_cuda_host)
    target_link_libraries(test_cuda_host PRIVATE quadloom_cuda_host)
    set_tests_properties(unit.test_cuda_host PROPERTIES TIMEOUT 1500 LABELS "unit;long"
        ENVIRONMENT "${QL_TEST_ENVIRONMENT};OPENBLAS_NUM_THREADS=1;OMP_NUM_THREADS=2")
endif()
