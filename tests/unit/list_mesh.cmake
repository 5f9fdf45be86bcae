foreach(test test_mesh_read test_mesh_polygons test_mesh_seams test_mesh_topology test_preflight test_nearest test_generate)
    ql_unit_test(${test})
endforeach()
target_compile_definitions(test_mesh_read PRIVATE QL_TEST_CORPUS="${CMAKE_SOURCE_DIR}/tests/corpus")
