// A service of our own, shaped after the published facts of inspection lots: what QM makes can be read, single results are created.
@protocol: [
  { kind: 'odata-v4', path: '/odata/v4/inspections' },
  { kind: 'odata-v2', path: '/sap/opu/odata/sap/API_INSPECTIONLOT_SRV' }
]
service Inspections {
  @readonly
  entity A_InspectionLot {
    key InspectionLot                 : String(12);
        Material                      : String(40);
        Batch                         : String(10);
        Plant                         : String(4);
        InspectionLotOrigin           : String(2);
        ManufacturingOrder            : String(12);
        InspectionLotHasUsageDecision : Boolean;
  }

  @readonly
  entity A_InspectionOperation {
    key InspectionLot               : String(12);
    key InspPlanOperationInternalID : String(8);
        InspectionOperation         : String(4);
  }

  @readonly
  entity A_InspectionCharacteristic {
    key InspectionLot               : String(12);
    key InspPlanOperationInternalID : String(8);
    key InspectionCharacteristic    : String(4);
        InspectionSpecification     : String(8);
        InspectionSpecificationText : String(40);
  }

  entity A_InspectionResultValue {
    key InspectionLot                  : String(12);
    key InspPlanOperationInternalID    : String(8);
    key InspectionCharacteristic       : String(4);
    key InspResultValueInternalID      : String(8);
        InspResultFrmtdMeasuredValue   : String(22);
        InspectionResultText           : String(40);
        InspRsltFreeDefinedTestEquip   : String(18);
        InspectionValuationResult      : String(1);
        CharacteristicAttributeCodeGrp : String(8);
        CharacteristicAttributeCode    : String(4);
        Inspector                      : String(12);
        InspectionStartDate            : Date;
        InspectionStartTime            : Time;
        InspectionEndDate              : Date;
        InspectionEndTime              : Time;
  }
}
