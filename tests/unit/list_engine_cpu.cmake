ql_unit_test(test_engine_cpu)
ql_unit_test(test_engine_bf16)
ql_unit_test(test_places)
if(TARGET quadloom_cpu_wide)
    foreach(test test_engine_cpu test_engine_bf16)
        target_sources(${test} PRIVATE $<TARGET_OBJECTS:quadloom_cpu_wide>)
        target_compile_definitions(${test} PRIVATE QL_TEST_WIDE)
    endforeach()
    # Only the objects of a set may hold its instructions: others run on every machine.
    add_test(NAME unit.instruction_sets COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/instruction_sets.sh
        "$<TARGET_OBJECTS:quadloom_core>" "$<TARGET_OBJECTS:quadloom_cpu_baseline>" "$<TARGET_OBJECTS:quadloom_cpu_avx2>"
        "$<TARGET_OBJECTS:quadloom_cpu_avx512>" "$<TARGET_OBJECTS:quadloom_cpu_avx512bf16>")
    set_tests_properties(unit.instruction_sets PROPERTIES LABELS unit TIMEOUT 120)
endif()
