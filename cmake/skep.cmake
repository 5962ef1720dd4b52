# How every folder of src/ declares its target, its tests and its fuzz targets.
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

add_library(skep_flags INTERFACE)
target_include_directories(skep_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(skep_flags INTERFACE -Wall -Wextra -Wpedantic -Werror -Wshadow -Wnon-virtual-dtor
                                            -Wno-missing-field-initializers -fno-math-errno)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports these falsely inside the standard library and Boost.
  target_compile_options(skep_flags INTERFACE -Wno-restrict -Wno-maybe-uninitialized -Wno-dangling-pointer
                                              -Wno-stringop-overflow -Wno-array-bounds -Wno-mismatched-new-delete)
endif()
if(SKEP_SANITIZE)
  # Lines are enough for a report, and half the debug information's compile time.
  target_compile_options(skep_flags INTERFACE -fsanitize=${SKEP_SANITIZE} -fno-omit-frame-pointer -O1 -g1)
  target_link_options(skep_flags INTERFACE -fsanitize=${SKEP_SANITIZE})
  if(SKEP_SANITIZE MATCHES "undefined")
    target_compile_options(skep_flags INTERFACE -fno-sanitize-recover=undefined)
  endif()
  if(SKEP_SANITIZE MATCHES "thread")
    target_compile_options(skep_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>)
  endif()
endif()
if(SKEP_FUZZ)
  target_compile_options(skep_flags INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(skep_flags INTERFACE $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:>)
endif()

# Defines paths for the sources that name them, and for no other: what has no absolute path on its command line is
# compiled once for all clones (ccache).
function(skep_define sources)
  foreach(definition IN LISTS ARGN)
    string(REGEX MATCH "^[A-Z_]+" macro "${definition}")
    foreach(source IN LISTS sources)
      file(STRINGS ${source} uses REGEX "${macro}" LIMIT_COUNT 1)
      if(uses)
        set_property(SOURCE ${source} APPEND PROPERTY COMPILE_DEFINITIONS ${definition})
      endif()
    endforeach()
  endforeach()
endfunction()

# skep_library(base SOURCES result.cc … LINKS fmt::fmt …): target skep_base. LINKS name targets; a folder of ours is
# named skep_<folder>.
function(skep_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  add_library(skep_${name} STATIC ${arg_SOURCES})
  skep_define("${arg_SOURCES}" SKEP_GGML_BACKENDS="${SKEP_GGML_BACKENDS}")
  target_link_libraries(skep_${name} PUBLIC skep_flags ${arg_LINKS} PRIVATE ${arg_PRIVATE_LINKS})
endfunction()

# skep_test(base SOURCES result_test.cc … LINKS skep_base): one GoogleTest program, skep_base_test. Its files sit beside
# the sources; scripts/test runs every program of the list build/<preset>/tests.
set_property(GLOBAL PROPERTY skep_tests "")
function(skep_test name)
  if(NOT SKEP_TESTS OR SKEP_FUZZ OR NOT GTest_FOUND)
    return()
  endif()
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS;DEFINITIONS" ${ARGN})
  add_executable(skep_${name}_test ${arg_SOURCES})
  target_link_libraries(skep_${name}_test PRIVATE skep_flags ${arg_LINKS} GTest::gmock GTest::gtest_main)
  target_compile_options(skep_${name}_test PRIVATE $<$<CONFIG:Release>:-O1>)  # tests are compiled more often than run
  skep_define("${arg_SOURCES}" SKEP_TEST_DATA="${CMAKE_SOURCE_DIR}/test/data"
              SKEP_GGML_BACKENDS="${SKEP_GGML_BACKENDS}" ${arg_DEFINITIONS})
  set_property(GLOBAL APPEND PROPERTY skep_tests $<TARGET_FILE:skep_${name}_test>)
  set_property(GLOBAL APPEND PROPERTY skep_test_targets skep_${name}_test)
  add_test(NAME ${name} COMMAND skep_${name}_test)
endfunction()

# skep_fuzz(json SOURCES fuzz_json.cc LINKS skep_base): a libFuzzer program, built with the preset fuzz.
set_property(GLOBAL PROPERTY skep_fuzzers "")
function(skep_fuzz name)
  if(NOT SKEP_FUZZ)
    return()
  endif()
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(fuzz_${name} ${arg_SOURCES})
  target_link_libraries(fuzz_${name} PRIVATE skep_flags ${arg_LINKS})
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  set_property(GLOBAL APPEND PROPERTY skep_fuzzers $<TARGET_FILE:fuzz_${name}>)
  set_property(GLOBAL APPEND PROPERTY skep_fuzz_targets fuzz_${name})
endfunction()

enable_testing()
cmake_language(DEFER CALL skep_write_lists)
function(skep_write_lists)
  get_property(tests GLOBAL PROPERTY skep_tests)
  get_property(fuzzers GLOBAL PROPERTY skep_fuzzers)
  get_property(targets GLOBAL PROPERTY skep_test_targets)
  add_custom_target(skep_unit_tests DEPENDS ${targets})
  get_property(targets GLOBAL PROPERTY skep_fuzz_targets)
  add_custom_target(skep_fuzz_targets DEPENDS ${targets})
  string(REPLACE ";" "\n" tests "${tests}")
  string(REPLACE ";" "\n" fuzzers "${fuzzers}")
  file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/tests CONTENT "${tests}\n")
  file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/fuzzers CONTENT "${fuzzers}\n")
endfunction()
