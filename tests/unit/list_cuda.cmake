if(TARGET quadloom_cuda_host)
    ql_unit_test(test_cuda_host)
    target_link_libraries(test_cuda_host PRIVATE quadloom_cuda_host)
    set_tests_properties(unit.test_cuda_host PROPERTIES TIMEOUT 1500 LABELS "unit;long"
        ENVIRONMENT "${QL_TEST_ENVIRONMENT};OPENBLAS_NUM_THREADS=1;OMP_NUM_THREADS=2")

    add_library(fake_nvml MODULE ${CMAKE_SOURCE_DIR}/tests/support/fake_nvml.c)
    ql_unit_test(test_cuda_life)
    add_dependencies(test_cuda_life fake_nvml)
    target_link_libraries(test_cuda_life PRIVATE quadloom_cuda_host)
    target_compile_definitions(test_cuda_life PRIVATE QL_FAKE_NVML="$<TARGET_FILE:fake_nvml>")
    set_tests_properties(unit.test_cuda_life PROPERTIES
        ENVIRONMENT "${QL_TEST_ENVIRONMENT};OPENBLAS_NUM_THREADS=1;OMP_NUM_THREADS=2")
endif()
